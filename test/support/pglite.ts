import type { EntitySchema, Options } from '@mikro-orm/core'
import type { PgliteConnection } from '@mikro-orm/pglite'
import { createTables, type SqlORM, type TestDatabase } from './databases.ts'

type PGlite = Awaited<ReturnType<PgliteConnection['getNativeClient']>>

/** Those that no test has now. To start one takes more than a second. */
const free: PGlite[] = []

/** A PostgreSQL in this process. It has one connection, so that the witness waits until no transaction is open. */
export async function createPglite (entities: EntitySchema[]): Promise<TestDatabase> {
  const { MikroORM } = await import('@mikro-orm/pglite')
  const pglite = free.pop() ?? await startPglite()
  const options = { entities, dbName: 'postgres', driverOptions: { pglite } }
  const connect = (more?: Partial<Options>) => MikroORM.init({ ...options, ...more } as never) as unknown as Promise<SqlORM>
  const witness = await connect()
  await createTables(witness)
  return {
    kind: 'postgresql',
    options: { ...options, driver: witness.config.get('driver') } as unknown as Options,
    witness,
    connect,
    leftovers: async () => pglite.isInTransaction() ? ['an open transaction'] : [],
    async drop () {
      await witness.close()
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
