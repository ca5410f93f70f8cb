import { AsyncLocalStorage } from 'node:async_hooks'
import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import { AcquireTimeout } from '../../../lib/transaction/acquire-timeout.ts'

const TOO_LATE = { code: 'FST_SCOPED_DB_ACQUIRE_TIMEOUT', statusCode: 503 }

/** How many timers keep the process from ending. */
const timers = () => process.getActiveResourcesInfo().filter(resource => resource === 'Timeout').length

void t.test('who waits too long is refused, one after the other', async t => {
  const timeout = new AcquireTimeout(30)
  const refused: string[] = []
  const served = timeout.start(() => refused.push('served'))
  const first = timeout.start(() => refused.push('first'))
  await wait(15)
  const second = await new Promise<ReturnType<AcquireTimeout['start']>>(resolve => {
    const second = timeout.start(error => {
      t.match(error, TOO_LATE)
      refused.push('second')
      resolve(second)
    })
    timeout.clearInTime(served)
  })
  t.same(refused, ['first', 'second'])
  t.throws(() => timeout.clearInTime(first), TOO_LATE, 'what comes now comes too late')
  t.throws(() => timeout.clearInTime(second), TOO_LATE)
  t.doesNotThrow(() => timeout.clear(first))
  t.doesNotThrow(() => timeout.clearInTime(served))
})

void t.test('the process is kept alive while somebody waits, and no longer', t => {
  const before = timers()
  const timeout = new AcquireTimeout(60_000)
  t.equal(timers(), before)
  for (const name of ['first', 'next']) {
    const one = timeout.start(() => {})
    const other = timeout.start(() => {})
    t.equal(timers(), before + 1, `the ${name} two`)
    timeout.clear(one)
    t.equal(timers(), before + 1)
    timeout.clearInTime(other)
    t.equal(timers(), before)
  }
  t.end()
})

void t.test('the timer keeps nothing of the scope in which somebody has begun to wait', async t => {
  const storage = new AsyncLocalStorage<string>()
  const timeout = new AcquireTimeout(1)
  const seen = await new Promise(resolve => {
    storage.run('a scope', () => timeout.start(() => resolve(storage.getStore())))
  })
  t.equal(seen, undefined)
})
