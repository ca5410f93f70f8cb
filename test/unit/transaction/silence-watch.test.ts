import type { DatabaseConnection } from 'kysely'
import { Kysely, MysqlDialect } from 'kysely'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { AcquireTimeout } from '../../../lib/transaction/acquire-timeout.ts'
import type { ConnectionInUse } from '../../../lib/transaction/pooled-connection.ts'
import { SilenceWatch } from '../../../lib/transaction/silence-watch.ts'
import { Silence } from '../../../lib/transaction/silence.ts'
import { Gate } from '../../support/signals.ts'

type Read = () => Promise<unknown>

/** What a server says of connections, and what was made of that. */
function watched (verdicts: (boolean | Error | (() => Promise<boolean>))[]) {
  const done: string[] = []
  const silence = {
    knows: () => true,
    identify: async () => { done.push('identified') },
    async isLost () {
      const verdict = verdicts.shift() ?? false
      if (verdict instanceof Error) throw verdict
      return typeof verdict === 'function' ? await verdict() : verdict
    },
    distrust: () => { done.push('distrusted') }
  }
  const watch = new SilenceWatch(silence as unknown as Silence, new AcquireTimeout(80))
  const over = async (read: Read) => {
    let interrupt: (error: Error) => void = () => {}
    const interrupted = new Promise<never>((_resolve, reject) => { interrupt = reject })
    const destroy = async (error: Error) => { done.push('destroyed'); interrupt(error) }
    const send = async () => await Promise.race([read(), interrupted])
    const inUse = { connection: {}, destroy } as unknown as ConnectionInUse
    return await watch.over(inUse, send)
  }
  return { over, done, verdicts }
}

const never: Read = async () => await new Promise(() => {})

void t.test('a read is given up when the server does not work on it, however often it has been asked before', async t => {
  const { over, done, verdicts } = watched([false, new Error('out of reach'), true])
  await t.rejects(over(never), { code: 'ECONNRESET' })
  t.same(done, ['destroyed'])
  t.same(verdicts, [])
})

void t.test('what the server says after the answer has come is too late', async t => {
  const asked = new Gate()
  const answered = new Gate()
  const { over, done } = watched([async () => { asked.open(); await answered.opened; return true }])
  t.equal(await over(async () => { await asked.opened; return 'the answer' }), 'the answer')
  answered.open()
  await new Promise(setImmediate)
  t.same(done, [])
})

void t.test('what is tried after that has to answer first, and is waited for; who calls it lost again and again is not asked any more', async t => {
  const { over, done, verdicts } = watched([true, true, true])
  const untilAsked = async (left: number) => {
    while (verdicts.length > left) await sleep(5)
    await sleep(5)
    return 'the answer'
  }
  await t.rejects(over(never))
  t.equal(await over(async () => await untilAsked(1)), 'the answer')
  t.same(done, ['destroyed', 'identified'], 'once may be by chance')
  verdicts.push(true)
  t.equal(await over(async () => await untilAsked(0)), 'the answer')
  t.same(done, ['destroyed', 'identified', 'identified', 'distrusted'])
})

void t.test('a server that does not answer is not asked more and more', async t => {
  let asked = 0
  const answer = Promise.withResolvers<never>()
  const client = new Kysely({ dialect: new MysqlDialect({ pool: {} as never }) })
  class Connection {
    config = { get: () => undefined }
    options = {}
    getPlatform () {}
    setPlatform () {}
    async initClient () {}
    async close () {}
    getClient () {
      return Object.assign(Object.create(client) as object, { getExecutor: () => ({ ...client.getExecutor(), adapter: client.getExecutor().adapter, provideConnection: () => { asked++; return answer.promise } }) })
    }
  }
  const silence = Silence.of(new Connection() as never) as Silence
  const questions = Array.from({ length: 6 }, async () => await silence.isLost({} as DatabaseConnection))
  t.same(await Promise.all(questions.slice(4)), [false, false], 'in doubt it works')
  t.equal(asked, 4)
  answer.reject(new Error('gone'))
  t.same((await Promise.allSettled(questions)).map(({ status }) => status), ['rejected', 'rejected', 'rejected', 'rejected', 'fulfilled', 'fulfilled'])
  await t.rejects(silence.isLost({} as DatabaseConnection), { message: 'gone' }, 'and can be asked again')
})

void t.test('where nobody can be asked it is waited for', async t => {
  const client = new Kysely({ dialect: new MysqlDialect({ pool: {} as never }) })
  for (const driverOptions of [client, new MysqlDialect({ pool: {} as never }), () => ({})]) {
    const connection = { getClient: () => client, options: { driverOptions }, config: { get: () => undefined } }
    t.equal(Silence.of(connection as never), undefined)
  }
  const connection = { getClient: () => client, options: {}, config: { get: () => undefined } }
  const silence = Silence.of(connection as never)
  t.type(silence, Silence)
  t.equal(Silence.of(connection as never), silence)
  silence?.distrust()
  t.equal(await silence?.isLost({} as DatabaseConnection), false)
})
