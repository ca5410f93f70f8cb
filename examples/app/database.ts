import { SqliteDriver } from '@mikro-orm/sqlite'
import { Author, Book, User } from './entities.ts'

// MySQL or MariaDB, with the driver of '@mikro-orm/mysql':
// const connection = { driver: MySqlDriver, clientUrl: 'mysql://root@127.0.0.1:3306/books' }
const connection = { driver: SqliteDriver, dbName: ':memory:' }

/** Options of MikroORM. */
export const database = { ...connection, entities: [Author, Book, User] }
