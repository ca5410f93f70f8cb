import t from 'tap'
import { Mutex } from '../../../lib/transaction/mutex.ts'

const turn = async () => { await new Promise(setImmediate) }

void t.test('one has the turn at a time, in the order of asking', async t => {
  const mutex = new Mutex()
  const order: string[] = []
  const use = async (name: string) => {
    await mutex.acquire()
    order.push(name)
  }
  t.equal(mutex.isLocked, false)
  await use('first')
  const second = use('second')
  const third = use('third')
  await turn()
  t.same(order, ['first'])
  t.equal(mutex.isLocked, true)
  mutex.release()
  await second
  mutex.release()
  t.equal(mutex.isLocked, true, 'the third has it')
  await third
  mutex.release()
  t.same(order, ['first', 'second', 'third'])
  t.equal(mutex.isLocked, false)
})

void t.test('one that is free is there at once', async t => {
  const mutex = new Mutex()
  t.equal(mutex.acquire(), undefined)
  t.type(mutex.acquire(), Promise)
})

void t.test('who has the turn can learn that somebody waits for it', async t => {
  const mutex = new Mutex()
  const seen: string[] = []
  const watch = (name: string) => { void mutex.hasWaiter().then(() => seen.push(name)) }
  await mutex.acquire()
  watch('before')
  await turn()
  t.same(seen, [], 'nobody waits')
  const second = mutex.acquire()
  await turn()
  t.same(seen, ['before'])
  watch('after')
  await turn()
  t.same(seen, ['before', 'after'], 'somebody waits already')
  mutex.release()
  await second
  watch('second')
  await turn()
  t.same(seen, ['before', 'after'], 'for the turn of the second nobody waits')
  mutex.release()
  await mutex.acquire()
  await turn()
  t.same(seen, ['before', 'after'], 'it was free')
  mutex.release()
})
