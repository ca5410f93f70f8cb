import { MikroORM } from '@mikro-orm/sqlite'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SqlORM } from '../../test/support/databases.ts'
import { entities, prepare, readContents, type Database } from './database.ts'

export async function openSqlite (): Promise<Database> {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-scoped-db-'))
  const [dbName, secondDbName] = ['torture', 'second'].map(name => join(folder, `${name}.db`)) as [string, string]
  const orms = await Promise.all([dbName, secondDbName].map(openOrm)) as [SqlORM, SqlORM]
  return {
    settings: { database: 'sqlite', dbName, secondDbName },
    server: undefined,
    read: () => readContents(orms),
    caughtUp: async () => {},
    leftovers: async () => [],
    async close () {
      for (const orm of orms) await orm.close()
      await rm(folder, { recursive: true, force: true })
    }
  }
}

async function openOrm (dbName: string): Promise<SqlORM> {
  const orm = await MikroORM.init({ dbName, contextName: dbName, entities }) as unknown as SqlORM
  await orm.driver.execute('pragma journal_mode = wal')
  await prepare(orm)
  return orm
}
