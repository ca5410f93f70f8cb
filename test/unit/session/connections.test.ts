import type { MikroORM } from '@mikro-orm/core'
import t from 'tap'
import { checkConnections } from '../../../lib/session/check-connection.ts'
import { prepareConnections } from '../../../lib/session/connections.ts'
import { connecting } from '../../../lib/transaction/connecting.ts'
import { Gate } from '../../support/signals.ts'

function ormOf (connection: object): MikroORM {
  return { config: { get: () => undefined, set () {} }, driver: { getConnection: () => connection, replicas: [] } } as unknown as MikroORM
}

const sql = { getClient: () => ({ getExecutor: () => ({ adapter: {} }) }), async initClient () {}, async connect () {}, options: {}, connected: false }

void t.test('those who come while the first one connects wait for it, and are not told what it is told', async t => {
  const go = new Gate()
  let depth = 0
  const connection = {
    ...sql,
    connected: true,
    async connect (options?: { skipOnConnect: boolean }) {
      depth++
      if (options !== undefined) return
      // As MikroORM does once it has made the database.
      await connection.connect({ skipOnConnect: true })
      await go.opened
      throw new Error('out of reach')
    }
  }
  await prepareConnections(ormOf(connection))
  await prepareConnections(ormOf(connection))
  t.equal(connecting(connection as never), undefined)
  const first = t.rejects(connection.connect(), { message: 'out of reach' })
  await new Promise(setImmediate)
  const second = connection.connect()
  const other = connecting(connection as never)
  t.type(other, Promise)
  go.open()
  await first
  await second
  await other
  t.equal(depth, 2)
  t.equal(connecting(connection as never), undefined)
})

void t.test('a hook of the pool that throws has its connection closed, and is heard all the same', async t => {
  const options = { onReserveConnection: async (_connection: object) => { throw new Error('not this one') } }
  const { hasEarlyHooks } = await prepareConnections(ormOf({ ...sql, options }))
  t.equal(hasEarlyHooks, false)
  const closed: unknown[] = []
  const killSession = async (control: () => Promise<void>) => { closed.push(await control().catch((error: unknown) => error)); throw new Error('it cannot be closed') }
  for (const connection of [{ killSession }, {}]) await t.rejects(options.onReserveConnection(connection), { message: 'not this one' })
  t.match(closed, [Error], 'and no other connection is given for that')
  await prepareConnections(ormOf({ ...sql, options }))
  await t.rejects(options.onReserveConnection({ killSession }), { message: 'not this one' })
  t.equal(closed.length, 2, 'once')
})

void t.test('a driver that says no more than that it cannot connect', async t => {
  const connection = { async ensureConnection () {}, checkConnection: async () => ({ ok: false, reason: 'no idea' }) }
  await t.rejects(checkConnections(ormOf(connection), 'main', 1_000), { code: 'FST_SCOPED_DB_CANNOT_CONNECT', message: 'fastify-scoped-db: the database "main" cannot be reached', cause: { message: 'no idea' } })
})
