import type { ConnectionProvider, ControlConnectionProvider, DatabaseConnection, Kysely } from 'kysely'
import t from 'tap'
import { Lender } from '../lib/transaction/connection.ts'

void t.test('a driver that cancels through the pool is lent a connection for it', async t => {
  const calls: string[] = []
  const connection = {
    cancelQuery: async (control: ControlConnectionProvider) => { await control(async other => { calls.push(other === connection ? 'cancelled' : '?') }) }
  } as DatabaseConnection
  const provider: ConnectionProvider = { provideConnection: async consumer => await consumer(connection) }
  const kysely = { getExecutor: () => provider } as unknown as Kysely<unknown>
  const client = { connection: () => ({ execute: async <T>(use: (db: Kysely<unknown>) => Promise<T>) => await use(kysely) }) } as unknown as Kysely<unknown>
  const lender = new Lender(client, 1000)
  const held = await lender.hold()
  await lender.cancel()
  t.same(calls, ['cancelled'])
  await held.discard()
  await lender.cancel()
  t.same(calls, ['cancelled'], 'what was given back is left alone')
})
