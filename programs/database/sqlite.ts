import { MikroORM } from '@mikro-orm/sqlite'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SqlORM } from '../../test/support/databases.ts'
import { entities } from '../entities.ts'
import { rowsOf, type Tables } from '../rows.ts'
import { EMPTY, READ, SEEDS } from '../seeds.ts'
import type { Database } from './database.ts'

export async function openSqlite (): Promise<Database> {
  const folder = await mkdtemp(join(tmpdir(), 'programs-'))
  const options = { entities, dbName: join(folder, 'programs.db') }
  const first = await MikroORM.init(options)
  await first.schema.create()
  // Of the driver itself: a second SQLite in the process, such as Node's own, would break the first one's file locks.
  const witness = await first.driver.getConnection().getNativeClient() as Native
  // Nothing here has to survive a crash.
  for (const pragma of ['journal_mode = wal', 'synchronous = off']) witness.exec(`pragma ${pragma}`)
  const reset = ['begin', ...EMPTY, ...SEEDS, 'commit'].join(';')
  const reads = READ.map(sql => witness.prepare(sql))
  return {
    hasManyConnections: false,
    sqlAlchemyUrl: 'sqlite://',
    async connect () {
      const orm = await MikroORM.init(options) as unknown as SqlORM
      await orm.driver.execute('pragma synchronous = off')
      return orm
    },
    async reset () {
      witness.exec(reset)
    },
    async read () {
      return rowsOf(reads.map(statement => statement.all()) as unknown as Tables)
    },
    async leftovers (orm) {
      const { inTransaction } = await orm.driver.getConnection().getNativeClient() as Native
      return inTransaction ? ['an open transaction'] : []
    },
    async close () {
      await first.close()
      await rm(folder, { recursive: true })
    }
  }
}

/** What is used here of better-sqlite3. */
interface Native {
  readonly inTransaction: boolean
  exec (sql: string): void
  prepare (sql: string): { all (): unknown[] }
}
