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
