import { AsyncLocalStorage } from 'node:async_hooks'
import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import { Patience } from '../lib/transaction/acquire-timeout.ts'

const TOO_LATE = { code: 'FST_SCOPED_DB_ACQUIRE_TIMEOUT', statusCode: 503 }

/** How many timers keep the process from ending. */
const timers = () => process.getActiveResourcesInfo().filter(resource => resource === 'Timeout').length

void t.test('who waits too long is refused, one after the other', async t => {
  const patience = new Patience(30)
  const refused: string[] = []
  const served = patience.start(() => refused.push('served'))
  const first = patience.start(() => refused.push('first'))
  await wait(15)
  const second = await new Promise<ReturnType<Patience['start']>>(resolve => {
    const second = patience.start(error => {
      t.match(error, TOO_LATE)
      refused.push('second')
      resolve(second)
    })
    patience.end(served)
  })
  t.same(refused, ['first', 'second'])
  t.throws(() => patience.end(first), TOO_LATE, 'what comes now comes too late')
  t.throws(() => patience.end(second), TOO_LATE)
  t.doesNotThrow(() => patience.stop(first))
  t.doesNotThrow(() => patience.end(served))
})

void t.test('the process is kept alive while somebody waits, and no longer', t => {
  const before = timers()
  const patience = new Patience(60_000)
  t.equal(timers(), before)
  for (const name of ['first', 'next']) {
    const one = patience.start(() => {})
    const other = patience.start(() => {})
    t.equal(timers(), before + 1, `the ${name} two`)
    patience.stop(one)
    t.equal(timers(), before + 1)
    patience.end(other)
    t.equal(timers(), before)
  }
  t.end()
})

void t.test('the timer keeps nothing of the scope in which somebody has begun to wait', async t => {
  const storage = new AsyncLocalStorage<string>()
  const patience = new Patience(1)
  const seen = await new Promise(resolve => {
    storage.run('a scope', () => patience.start(() => resolve(storage.getStore())))
  })
  t.equal(seen, undefined)
})
