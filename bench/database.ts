import type { MikroORM, Options } from '@mikro-orm/core'
import { MySqlDriver } from '@mikro-orm/mysql'
import { SqliteDriver } from '@mikro-orm/sqlite'
import { Author, AUTHORS, Book, BOOKS } from './entities.ts'

/** SQLite in the memory of the server process, or MariaDB over TCP. */
export type DatabaseKind = 'sqlite' | 'mariadb'

/** How many connections each contender has to MariaDB. */
const POOL_SIZE = 10

/**
 * Options for a database that one contender has for itself.
 * @param url where MariaDB is
 */
export function optionsFor (kind: DatabaseKind, name: string, url: string | undefined): Options {
  const options = kind === 'sqlite'
    ? { driver: SqliteDriver, dbName: ':memory:' }
    : { driver: MySqlDriver, clientUrl: url, dbName: `bench_${name.replaceAll(/\W/g, '_')}`, pool: { max: POOL_SIZE } }
  return { ...options, entities: [Author, Book], ensureDatabase: true } as unknown as Options
}

/** Makes the tables anew, and the rows that are read. */
export async function seed (orm: MikroORM): Promise<void> {
  await orm.schema.refresh()
  const em = orm.em.fork()
  const authors = Array.from({ length: AUTHORS }, (_, n) => em.create(Author, { name: `author ${n}` }))
  for (let n = 0; n < BOOKS; n++) em.create(Book, { title: `book ${n}`, author: authors[n % 50] as never })
  await em.flush()
}
