import type { CompiledQuery, DatabaseConnection } from 'kysely'
import t from 'tap'
import { isDatabaseError } from '../../../lib/session/database-error.ts'
import { interruptible } from '../../../lib/transaction/interruptible.ts'

const QUERY = {} as CompiledQuery

void t.test('what a connection fails with is remembered as the database\'s error', async t => {
  const fail = async () => { throw new Error('said the database') }
  const connection = {
    executeQuery: fail,
    streamQuery: () => ({ next: fail, return: fail })
  } as unknown as DatabaseConnection
  interruptible(connection)
  const failures = [connection.executeQuery(QUERY), connection.streamQuery(QUERY, 1).next(), connection.streamQuery(QUERY, 1).return?.()]
  for (const failure of failures) {
    const error: unknown = await failure?.catch((error: unknown) => error)
    t.match(error, { message: 'said the database' })
    t.equal(isDatabaseError(error), true)
  }
})

void t.test('what runs on a connection whose session is killed ends', async t => {
  const calls: unknown[] = []
  const never = new Promise<never>(() => {})
  const connection: DatabaseConnection = {
    executeQuery: async () => await never,
    async * streamQuery () { yield await never },
    async killSession (control) { calls.push(this, control) }
  }
  const interrupt = interruptible(connection)
  const { executeQuery, streamQuery, killSession } = connection
  t.equal(interruptible(connection), interrupt)
  t.match(connection, { executeQuery, streamQuery, killSession }, 'changed once')
  const control = async () => await never
  const executed = async () => { await connection.executeQuery(QUERY) }
  const streamed = async () => { await connection.streamQuery(QUERY, 1).next() }
  const ended = [executed, streamed].map(run => t.rejects(run(), /closed/))
  await connection.killSession?.(control)
  await Promise.all(ended)
  t.equal(calls[0], connection)
  t.same(calls.slice(1), [control])
})

void t.test('what waits for a connection that ends by itself ends with it, and its streams are over', async t => {
  const never = new Promise<never>(() => {})
  const connection = { executeQuery: async () => await never, streamQuery: () => ({ next: async () => await never, return: async () => await never }) } as unknown as DatabaseConnection
  let end = () => {}
  interruptible(connection, { status: undefined, async close () {}, onEnd (listener) { end = listener } })
  const rows = connection.streamQuery(QUERY, 1)
  const lost = { code: 'ECONNRESET', message: 'the connection has ended' }
  const ended = [t.rejects(connection.executeQuery(QUERY), lost), t.rejects(rows.next(), lost)]
  const returned = rows.return?.()
  end()
  await Promise.all(ended)
  const over = { done: true, value: undefined }
  t.same(await returned, over, 'closing it did not come to an end')
  t.same(await rows.return?.(), over, 'nor is it waited for afterwards')
})
