import t from 'tap'
import { Mutex } from '../../../lib/transaction/mutex.ts'

const turn = async () => { await new Promise(setImmediate) }

void t.test('one has the turn at a time, in the order of asking', async t => {
  const mutex = new Mutex()
  const order: string[] = []
  const use = async (name: string) => {
    const end = await mutex.acquire()
    order.push(name)
    return end
  }
  t.equal(mutex.isLocked, false)
  const first = await use('first')
  const second = use('second')
  const third = use('third')
  await turn()
  t.same(order, ['first'])
  t.equal(mutex.isLocked, true)
  first()
  ;(await second)()
  t.equal(mutex.isLocked, true, 'the third has it')
  ;(await third)()
  t.same(order, ['first', 'second', 'third'])
  t.equal(mutex.isLocked, false)
})

void t.test('who has the turn can learn that somebody waits for it', async t => {
  const mutex = new Mutex()
  const seen: string[] = []
  const watch = (name: string) => { void mutex.hasWaiter().then(() => seen.push(name)) }
  const first = await mutex.acquire()
  watch('before')
  await turn()
  t.same(seen, [], 'nobody waits')
  const second = mutex.acquire()
  await turn()
  t.same(seen, ['before'])
  watch('after')
  await turn()
  t.same(seen, ['before', 'after'], 'somebody waits already')
  first()
  const end = await second
  watch('second')
  await turn()
  t.same(seen, ['before', 'after'], 'for the turn of the second nobody waits')
  end()
  const last = await mutex.acquire()
  await turn()
  t.same(seen, ['before', 'after'], 'it was free')
  last()
})
