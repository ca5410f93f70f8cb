import { MikroORM } from '@mikro-orm/sqlite'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SqlORM } from '../../test/support/databases.ts'
import { entities, prepare, readContents, type Database } from './database.ts'

export async function openSqlite (): Promise<Database> {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-scoped-db-'))
  const dbName = join(folder, 'torture.db')
  const orm = await MikroORM.init({ dbName, entities }) as unknown as SqlORM
  await orm.driver.execute('pragma journal_mode = wal')
  await prepare(orm)
  return {
    settings: { database: 'sqlite', dbName },
    server: undefined,
    read: () => readContents(orm),
    leftovers: async () => [],
    async close () {
      await orm.close()
      await rm(folder, { recursive: true, force: true })
    }
  }
}
