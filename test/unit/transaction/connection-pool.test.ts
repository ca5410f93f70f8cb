import type { CompiledQuery, ConnectionProvider, ControlConnectionProvider, DatabaseConnection, Kysely } from 'kysely'
import t from 'tap'
import { ConnectionPool } from '../../../lib/transaction/connection-pool.ts'
import type { ConnectionOwner, PooledConnection } from '../../../lib/transaction/pooled-connection.ts'
import { Gate } from '../../support/signals.ts'

/** Takes a connection for what needs no answer. */
const itself = async (connection: PooledConnection) => connection

const CLOSED = { code: 'FST_SCOPED_DB_SCOPE_CLOSED' }

/** A pool of connections like `connection`, for one owner, which counts how often Kysely has given one and got it back. */
function poolOf (connection: Partial<DatabaseConnection>) {
  const pool = new ConnectionPool(1000)
  return { pool, ...ownerOf(connection) }
}

function ownerOf (connection: Partial<DatabaseConnection>) {
  const provider: ConnectionProvider = { provideConnection: async consumer => await consumer(connection as DatabaseConnection) }
  const kysely = { getExecutor: () => provider } as unknown as Kysely<unknown>
  const count = { taken: 0, back: 0 }
  const counted = async <T>(use: () => Promise<T>) => {
    count.taken++
    return await use().finally(() => count.back++)
  }
  const execute = async <T>(use: (db: Kysely<unknown>) => Promise<T>) => await counted(() => use(kysely))
  const pooled = {
    adapter: {},
    provideConnection: async <T>(consumer: (connection: DatabaseConnection) => Promise<T>) => await counted(() => provider.provideConnection(consumer)),
    withConnectionProvider: (other: ConnectionProvider) => other
  }
  const owner: ConnectionOwner = { client: { connection: () => ({ execute }), getExecutor: () => pooled } as unknown as Kysely<unknown> }
  return { count, owner }
}

void t.test('a cancel is about what one owner has, a destroy about everything', async t => {
  const pool = new ConnectionPool(1000)
  const done: string[] = []
  const owners = [0, 1].map(n => ownerOf({
    cancelQuery: async () => { done.push(`cancel ${n}`) },
    killSession: async () => { done.push(`destroy ${n}`) }
  }))
  for (const { owner } of owners) await pool.acquire(owner, itself)
  await pool.cancel(owners[1]?.owner as ConnectionOwner)
  t.same(done, ['cancel 1'])
  await pool.destroy()
  t.same(done.slice(1), ['destroy 0', 'destroy 1'])
  t.equal(pool.inUse.size, 0)
  t.same(owners.map(({ count }) => count.back), [1, 1])
})

void t.test('a driver that cancels through the pool is given a connection for it', async t => {
  const calls: string[] = []
  const connection: Partial<DatabaseConnection> = {
    cancelQuery: async (control: ControlConnectionProvider) => { await control(async other => { calls.push(other === connection ? 'cancelled' : '?') }) }
  }
  const { pool, owner } = poolOf(connection)
  const pooled = await pool.acquire(owner, itself)
  await pool.cancel(owner)
  t.same(calls, ['cancelled'])
  await pooled.destroy()
  await pool.cancel(owner)
  t.same(calls, ['cancelled'], 'what was given back is left alone')
})

const QUERY = { sql: 'select 1' } as CompiledQuery

void t.test('what is asked while nobody waits for it is over before the pool is settled', async t => {
  const answer = Promise.withResolvers<never>()
  const { pool, owner, count } = poolOf({ executeQuery: async () => await answer.promise })
  await pool.settled()
  const asked = pool.ask(owner, QUERY)
  const settled = pool.settled().then(() => count.back)
  answer.reject(new Error('no such thing'))
  await t.rejects(asked, { message: 'no such thing' })
  t.equal(await settled, 1, 'its connection is back by then')
})

void t.test('a statement that is not admitted gives its connection back', async t => {
  const { pool, owner, count } = poolOf({ executeQuery: async () => { throw new Error('it was sent') } })
  const admit = () => { throw new Error('too late') }
  await t.rejects(pool.send(owner, QUERY, { isRepeatable: true, isKept: () => true, admit }), { message: 'too late' })
  t.equal(pool.inUse.size, 0)
  t.equal(count.back, 1)
})

void t.test('what is asked of a whole Kysely is run one after the other, and tells when it is over', async t => {
  const { pool, owner } = poolOf({})
  const pooled = await pool.acquire(owner, itself)
  t.equal(pooled.busy, undefined)
  const done: string[] = []
  const first = new Gate()
  const executor = pooled.executor()
  const both = Promise.all([
    executor.provideConnection(async () => { await first.opened; done.push('first') }),
    executor.provideConnection(async () => { done.push('second') })
  ])
  const { busy } = pooled
  await new Promise(setImmediate)
  t.same(done, [])
  first.open()
  await busy
  t.same(done, ['first', 'second'])
  await both
  t.equal(pooled.busy, undefined)
})

for (const [how, killSession] of Object.entries({
  rejects: async () => { throw new Error('it cannot be killed') },
  throws: () => { throw new Error('it cannot be killed') },
  'waits for ever': async (control: ControlConnectionProvider) => { await control(() => new Promise(() => {})) }
})) {
  void t.test(`a connection is destroyed although killing its session ${how}`, async t => {
    const never = new Promise<never>(() => {})
    const { pool, owner, count } = poolOf({
      killSession,
      executeQuery: () => never,
      async * streamQuery () { yield await never },
      collectSessionInfo: async () => await never
    })
    const pooled = await pool.acquire(owner, itself)
    t.same([...pool.inUse], [pooled])
    await pooled.executor().provideConnection(async connection => {
      const statement = t.rejects(connection.executeQuery({} as CompiledQuery), CLOSED, 'nobody waits for what it ran')
      const stream = t.rejects(connection.streamQuery({} as CompiledQuery, 1).next(), CLOSED)
      await pool.destroy()
      t.equal(pool.inUse.size, 0)
      await pooled.destroy()
      await Promise.all([statement, stream])
    })
    t.equal(count.back, 1)
    t.equal(count.taken, how === 'waits for ever' ? 2 : 1, 'asked to kill once')
    t.equal(pool.inUse.size, 0)
  })
}
