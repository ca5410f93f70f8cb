import type { CompiledQuery, ConnectionProvider, ControlConnectionProvider, DatabaseConnection, Kysely } from 'kysely'
import t from 'tap'
import { Lender } from '../lib/transaction/connection-pool.ts'
import { Loans } from '../lib/transaction/loans.ts'
import { Patience } from '../lib/transaction/acquire-timeout.ts'

const CLOSED = { code: 'FST_SCOPED_DB_SCOPE_CLOSED' }

/** What lends `connection`, once at a time, and counts how often it came back. */
function lending (connection: Partial<DatabaseConnection>) {
  const provider: ConnectionProvider = { provideConnection: async consumer => await consumer(connection as DatabaseConnection) }
  const kysely = { getExecutor: () => provider } as unknown as Kysely<unknown>
  const pool = { taken: 0, back: 0 }
  const counted = async <T>(use: () => Promise<T>) => {
    pool.taken++
    return await use().finally(() => pool.back++)
  }
  const execute = async <T>(use: (db: Kysely<unknown>) => Promise<T>) => await counted(() => use(kysely))
  const pooled = {
    provideConnection: async <T>(consumer: (connection: DatabaseConnection) => Promise<T>) => await counted(() => provider.provideConnection(consumer)),
    withConnectionProvider: (other: ConnectionProvider) => other
  }
  const loans = new Loans()
  const client = { connection: () => ({ execute }), getExecutor: () => pooled } as unknown as Kysely<unknown>
  return { pool, loans, lender: new Lender(client, new Patience(1000), loans) }
}

void t.test('a cancel is about what one borrower has, a discard about everything', async t => {
  const [one, other] = [{}, {}]
  const done: string[] = []
  const loans = new Loans([one, other].map((borrower, n) => ({
    borrower,
    async cancel () { done.push(`cancel ${n}`) },
    async discard () { done.push(`discard ${n}`) }
  })))
  await loans.cancel(other)
  t.same(done, ['cancel 1'])
  await loans.discard()
  t.same(done.slice(1), ['discard 0', 'discard 1'])
})

void t.test('a driver that cancels through the pool is lent a connection for it', async t => {
  const calls: string[] = []
  const connection: Partial<DatabaseConnection> = {
    cancelQuery: async (control: ControlConnectionProvider) => { await control(async other => { calls.push(other === connection ? 'cancelled' : '?') }) }
  }
  const { lender } = lending(connection)
  const held = await lender.hold()
  await lender.cancel()
  t.same(calls, ['cancelled'])
  await held.discard()
  await lender.cancel()
  t.same(calls, ['cancelled'], 'what was given back is left alone')
})

void t.test('a statement is admitted once, and whoever stops it gets a connection without that', async t => {
  const { lender, loans, pool } = lending({})
  let admitted = 0
  const executor = lender.executor(() => { admitted++ })
  await executor.provideConnection(async () => {
    await executor.provideConnection(async () => { t.equal(loans.size, 2) })
    t.equal(loans.size, 1)
  })
  t.equal(admitted, 1)
  t.equal(loans.size, 0)
  t.equal(pool.back, 2)
})

void t.test('a statement that is not admitted gives its connection back', async t => {
  const { lender, loans, pool } = lending({})
  const executor = lender.executor(() => { throw new Error('too late') })
  await t.rejects(executor.provideConnection(async () => { t.fail('it has a connection') }), { message: 'too late' })
  t.equal(loans.size, 0)
  t.equal(pool.back, 1)
})

for (const [how, killSession] of Object.entries({
  rejects: async () => { throw new Error('it cannot be killed') },
  throws: () => { throw new Error('it cannot be killed') },
  'waits for ever': async (control: ControlConnectionProvider) => { await control(() => new Promise(() => {})) }
})) {
  void t.test(`a connection is discarded although killing its session ${how}`, async t => {
    const never = new Promise<never>(() => {})
    const { lender, loans, pool } = lending({
      killSession,
      executeQuery: () => never,
      async * streamQuery () { yield await never },
      collectSessionInfo: async () => await never
    })
    const held = await lender.hold()
    t.same([...loans], [held])
    await held.kysely.getExecutor().provideConnection(async connection => {
      const statement = t.rejects(connection.executeQuery({} as CompiledQuery), CLOSED, 'nobody waits for what it ran')
      const stream = t.rejects(connection.streamQuery({} as CompiledQuery, 1).next(), CLOSED)
      await loans.discard()
      t.equal(loans.size, 0)
      await held.discard()
      await Promise.all([statement, stream])
    })
    t.equal(pool.back, 1)
    t.equal(pool.taken, how === 'waits for ever' ? 2 : 1, 'asked to kill once')
    t.equal(loans.size, 0)
  })
}
