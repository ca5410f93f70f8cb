import { MikroORM, type Options } from '@mikro-orm/core'
import { MySqlDriver } from '@mikro-orm/mysql'
import { PostgreSqlDriver } from '@mikro-orm/postgresql'
import { SqliteDriver } from '@mikro-orm/sqlite'
import { mysqlUrl, postgresqlUrl } from '../test/support/server-urls.ts'
import { Author, AUTHORS, Book, BOOKS } from './entities.ts'

/** How a database is called in tables: a server over TCP, or SQLite in the memory of the server process. */
export const DATABASES = { mariadb: 'MariaDB', postgresql: 'PostgreSQL', sqlite: 'SQLite in memory' } as const

export type DatabaseKind = keyof typeof DATABASES

const DRIVERS = { mariadb: MySqlDriver, postgresql: PostgreSqlDriver, sqlite: SqliteDriver }

/** How many connections each contender has to its database: as many as MikroORM gives who does not say. */
const POOL_SIZE = 10

/** A database that is there. */
export interface Database {
  readonly kind: DatabaseKind
  readonly url: string
}

export const IN_MEMORY: Database = { kind: 'sqlite', url: ':memory:' }

/** Those of a list that there are: servers that the environment names, and SQLite. */
export function available (kinds: readonly DatabaseKind[]): Database[] {
  return kinds.flatMap(kind => {
    const url = { mariadb: mysqlUrl(), postgresql: postgresqlUrl(), sqlite: IN_MEMORY.url }[kind]
    return url === undefined ? [] : [{ kind, url }]
  })
}

/** Options for a database that one contender has for itself. */
export function optionsFor ({ kind, url }: Database, name: string): Options {
  const place = kind === 'sqlite'
    ? { dbName: url }
    : { clientUrl: url, dbName: `bench_${name.replaceAll(/\W/g, '_')}`, pool: { max: POOL_SIZE } }
  return { ...place, driver: DRIVERS[kind], entities: [Author, Book], ensureDatabase: true } as unknown as Options
}

/** Makes the tables anew, and the rows that are read. */
export async function seed (orm: MikroORM): Promise<void> {
  await orm.schema.refresh()
  const em = orm.em.fork()
  const authors = Array.from({ length: AUTHORS }, (_, n) => em.create(Author, { name: `author ${n}` }))
  for (let n = 0; n < BOOKS; n++) em.create(Book, { title: `book ${n}`, author: authors[n % 50] as never })
  await em.flush()
}

/** Asks a server something, as often as it is said, over one connection. */
export async function askServer<Row> (database: Database, sql: string, times = 1): Promise<{ rows: Row[], milliseconds: number[] }> {
  const orm = await MikroORM.init(optionsFor(database, 'questions'))
  let rows: Row[] = []
  const milliseconds: number[] = []
  for (let n = 0; n < times; n++) {
    const begun = performance.now()
    rows = await orm.em.getConnection().execute<Row[]>(sql)
    milliseconds.push(performance.now() - begun)
  }
  await orm.close()
  return { rows, milliseconds }
}
