/** How long the next attempt is waited for, and what ends the wait. */
import Fastify from 'fastify'
import { once } from 'node:events'
import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import t, { type Test } from 'tap'
import scopedDb from '../../plugin.ts'
import { HandlerRetry } from '../../lib/fastify/handler-retry.ts'
import { RetriesExhaustedError } from '../../lib/errors/errors.ts'
import { Retry } from '../../lib/scope/retry.ts'
import { rawClient } from '../support/clients.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { AGAIN, deadlock, failing } from '../support/retries.ts'

const slow = { config: { db: { retry: { attempts: 3, backoff: 30_000 } } } }

/** Makes every wait take its whole time. */
function waitLong (t: Test): void {
  const { random } = Math
  Math.random = () => 0.99
  t.teardown(() => { Math.random = random })
}

onEachDatabase('the time of a handler is up while it waits for its next attempt', { plugin: { commitOnTeardown: true, closeTimeout: 500 } }, async (t, stage) => {
  const { app, labels } = stage
  waitLong(t)
  let attempts = 0
  app.get('/', { ...slow, handlerTimeout: 1_000 }, async request => {
    attempts++
    await request.db.insert(Item, { label: 'never', amount: 0 })
    throw deadlock()
  })
  t.equal((await app.inject('/')).statusCode, 503)
  await app.close()
  t.equal(attempts, 1)
  t.same(await labels(), [])
})

onEachDatabase('its client leaves while a handler waits for its next attempt', { plugin: { commitOnTeardown: true, closeTimeout: 500 } }, async (t, stage) => {
  const { app, labels, logs } = stage
  waitLong(t)
  let attempts = 0
  app.post('/', slow, async request => {
    attempts++
    await request.db.insert(Item, { label: 'never', amount: 0 })
    throw deadlock()
  })
  const { port } = await stage.listen()
  const client = await rawClient(port, ['POST / HTTP/1.1', 'Host: localhost', 'Content-Length: 0', '', ''])
  while (!logs.some(line => line.msg === AGAIN)) await new Promise(setImmediate)
  client.leave()
  await once(client.socket, 'close')
  await app.close()
  t.equal(attempts, 1, 'the long wait has ended with the application, and nothing was begun after it')
  t.same(await labels(), [])
})

void t.test('an attempt that nobody waits for any more is not made', async t => {
  let canRepeat = true
  let runs = 0
  const host = { pause: async () => { canRepeat = false } }
  const unit = { host, canRepeat: () => canRepeat, closeScope: async () => {}, renewScope: () => t.fail('a new scope'), attempt: (handler: () => unknown) => handler() }
  const reply = { raw: new ServerResponse(new IncomingMessage(new Socket())), send: () => reply, log: { warn: () => {}, error: () => {} } }
  const attempts = new HandlerRetry(unit as never, new Retry({ backoff: 1 }), reply as never, () => {
    runs++
    throw deadlock()
  })
  await t.rejects(attempts.start() as Promise<unknown>, { message: /Deadlock/ })
  t.equal(runs, 1)
})

onEachDatabase('db.run() waits no longer than the application', {}, async (t, { database }) => {
  const app = Fastify()
  await app.register(scopedDb, { orm: database.options, commitOnTeardown: true, closeTimeout: 50 })
  await app.ready()
  const attempts = failing(9)
  const run = app.db.run(attempts.fail, { retry: { attempts: 9, backoff: 30_000 } })
  let isOver = false
  run.catch(() => { isOver = true })
  while (attempts.asked === 0) await new Promise(setImmediate)
  t.notOk(isOver, 'it waits for its next attempt')
  await Promise.all([app.close(), t.rejects(run)])
  t.ok(attempts.asked <= 2)
})

void t.test('how long it waits', async t => {
  const waits: number[] = []
  const log = { warn: ({ wait }: { wait?: number }) => { waits.push(Number(wait)) }, error: () => {} } as never
  const paused: number[] = []
  const host = { pause: async (milliseconds: number) => { paused.push(milliseconds) } }
  const retry = new Retry({ attempts: 31, backoff: 8 })
  for (let attempt = 1; attempt <= 30; attempt++) await retry.pause(deadlock(), attempt, log, host)
  t.equal(waits.length, 30)
  t.same(paused, waits)
  t.ok(waits.every((wait, n) => wait >= 0 && wait <= Math.min(30_000, 8 * 2 ** n)))
  t.ok(new Set(waits.slice(15)).size > 5, 'a random part')
  await t.rejects(retry.pause(deadlock(), 31, log, host), new RetriesExhaustedError(31))
  t.equal(new Retry(5).attempts, 5)
  t.equal(new Retry({}).attempts, 3)
})
