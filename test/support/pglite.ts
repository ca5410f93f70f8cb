import type { EntitySchema } from '@mikro-orm/core'
import type { PgliteConnection } from '@mikro-orm/pglite'
import { openTestDatabase, type TestDatabase } from './databases.ts'

type PGlite = Awaited<ReturnType<PgliteConnection['getNativeClient']>>

/** Those that no test has now. To start one takes more than a second. */
const free: PGlite[] = []

/** A PostgreSQL in this process. It has one connection, so that the witness waits until no transaction is open. */
export async function createPglite (entities: EntitySchema[]): Promise<TestDatabase> {
  const { MikroORM } = await import('@mikro-orm/pglite')
  const pglite = free.pop() ?? await startPglite()
  const opened = await openTestDatabase(MikroORM, { entities, dbName: 'postgres', driverOptions: { pglite } })
  return {
    kind: 'postgresql',
    ...opened,
    leftovers: async () => pglite.isInTransaction() ? ['an open transaction'] : [],
    async drop () {
      await opened.witness.close()
      await pglite.exec('drop schema public cascade; create schema public')
      await pglite.exec('discard all')
      free.push(pglite)
    }
  }
}

/** As MikroORM sets it up. */
async function startPglite (): Promise<PGlite> {
  const { MikroORM } = await import('@mikro-orm/pglite')
  const owner = await MikroORM.init({ dbName: 'memory://', entities: [], discovery: { warnWhenNoEntities: false } })
  return await owner.driver.getConnection().getNativeClient()
}
