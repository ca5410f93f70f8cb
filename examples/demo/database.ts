/**
 * The demo's database: SQLite in memory, or the MySQL, MariaDB or PostgreSQL that DATABASE_URL names.
 */
import { MikroORM, type Options } from '@mikro-orm/core'
import { MySqlDriver } from '@mikro-orm/mysql'
import { PostgreSqlDriver } from '@mikro-orm/postgresql'
import { SqliteDriver } from '@mikro-orm/sqlite'
import { NoteSchema } from './entities.ts'
import { explain } from './errors.ts'

interface Database {
  readonly name: string
  readonly driver: NonNullable<Options['driver']>
}

const EXPECTED = 'expected mysql:// or postgresql://user:password@host:port/database, or nothing for SQLite'

const MYSQL: Database = { name: 'MySQL', driver: MySqlDriver }
const POSTGRESQL: Database = { name: 'PostgreSQL', driver: PostgreSqlDriver }

const PROTOCOLS = new Map([['mysql:', MYSQL], ['mariadb:', MYSQL], ['postgresql:', POSTGRESQL], ['postgres:', POSTGRESQL]])

export class DemoDatabase {
  readonly orm: MikroORM
  /** For people to read; without the password. */
  readonly description: string
  #hasTable = false

  private constructor (orm: MikroORM, description: string) {
    this.orm = orm
    this.description = description
  }

  /** Connects, and creates the database itself if it is missing, but nothing in it. */
  static async open (url: string | undefined): Promise<DemoDatabase> {
    const { description, options } = settingsOf(url)
    let orm: MikroORM | undefined
    try {
      orm = await MikroORM.init({ ...options, entities: [NoteSchema] })
      await orm.schema.ensureDatabase()
      return new DemoDatabase(orm, description)
    } catch (error) {
      await orm?.close(true)
      throw new Error(`cannot use ${description}: ${explain(error)}`)
    }
  }

  /** Creates the demo's own table, empty. Touches no other. */
  async createTable (): Promise<void> {
    this.#hasTable = true
    await this.orm.schema.drop()
    await this.orm.schema.create()
  }

  /** Drops the demo's table, if it was created here, and disconnects. */
  async close (): Promise<void> {
    try {
      if (this.#hasTable) await this.orm.schema.drop()
    } finally {
      await this.orm.close(true)
    }
  }
}

function settingsOf (url: string | undefined): { description: string, options: Partial<Options> } {
  if (!url) return { description: 'SQLite in memory', options: { driver: SqliteDriver, dbName: ':memory:' } }
  const parsed = URL.parse(url)
  if (parsed === null) throw new Error(`DATABASE_URL is not a URL; ${EXPECTED}`)
  const { protocol, host, pathname } = parsed
  const database = PROTOCOLS.get(protocol)
  if (database === undefined) throw new Error(`DATABASE_URL begins with "${protocol}"; ${EXPECTED}`)
  if (host === '') throw new Error(`DATABASE_URL names no host; ${EXPECTED}`)
  if (!/^\/[^/]+$/.test(pathname)) throw new Error(`DATABASE_URL names no database; ${EXPECTED}`)
  return { description: `the ${database.name} database ${pathname.slice(1)} at ${host}`, options: { driver: database.driver, clientUrl: url } }
}
