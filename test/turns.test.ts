import t from 'tap'
import { Turns } from '../lib/transaction/mutex.ts'

const turn = async () => { await new Promise(setImmediate) }

void t.test('one has the turn at a time, in the order of asking', async t => {
  const turns = new Turns()
  const order: string[] = []
  const use = async (name: string) => {
    const end = await turns.take()
    order.push(name)
    return end
  }
  t.equal(turns.busy, false)
  const first = await use('first')
  const second = use('second')
  const third = use('third')
  await turn()
  t.same(order, ['first'])
  t.equal(turns.busy, true)
  first()
  ;(await second)()
  t.equal(turns.busy, true, 'the third has it')
  ;(await third)()
  t.same(order, ['first', 'second', 'third'])
  t.equal(turns.busy, false)
})

void t.test('who has the turn can learn that somebody waits for it', async t => {
  const turns = new Turns()
  const seen: string[] = []
  const watch = (name: string) => { void turns.contended.then(() => seen.push(name)) }
  const first = await turns.take()
  watch('before')
  await turn()
  t.same(seen, [], 'nobody waits')
  const second = turns.take()
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
  const last = await turns.take()
  await turn()
  t.same(seen, ['before', 'after'], 'it was free')
  last()
})
