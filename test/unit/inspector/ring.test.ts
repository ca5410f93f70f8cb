import t from 'tap'
import { Entry } from '../../../lib/inspector/entry.ts'
import { Ring } from '../../../lib/inspector/ring.ts'

const entry = (id: number) => new Entry(id, 'request', { id: 'req-1', method: 'GET', url: '', route: undefined })
const idsIn = ({ all }: Ring) => all.map(({ id }) => id)

void t.test('no more entries than it may hold, the latest first', async t => {
  const changed: number[] = []
  const ring = new Ring({ requests: 2, bytes: 1_000_000 }, ({ id }) => { changed.push(id) })
  for (const id of [1, 2, 3]) ring.add(entry(id))
  t.same(idsIn(ring), [3, 2])
  t.equal(ring.get(1), undefined)
  t.equal(ring.get(2)?.id, 2)
  t.same(changed, [1, 2, 3])
})

void t.test('no more bytes: the oldest make room', async t => {
  const ring = new Ring({ requests: 100, bytes: 10_000 }, () => {})
  const entries = [1, 2, 3].map(entry)
  for (const one of entries) ring.add(one)
  ring.grow(entries[1] as Entry, 7_001)
  t.same(idsIn(ring), [3, 2])
  ring.grow(entries[2] as Entry, 1_000)
  t.same(idsIn(ring), [3], 'the second was the largest')
})

void t.test('one entry may have a quarter of it', async t => {
  const ring = new Ring({ requests: 100, bytes: 10_000 }, () => {})
  const [one] = [entry(1)]
  ring.add(one)
  t.equal(ring.hasRoom(one, 1_500), true)
  ring.grow(one, 1_500)
  t.equal(ring.hasRoom(one, 1), false)
})

void t.test('what is not in it any more takes no room, and nobody is told of it', async t => {
  const changed: number[] = []
  const ring = new Ring({ requests: 1, bytes: 10_000 }, ({ id }) => { changed.push(id) })
  const old = entry(1)
  ring.add(old)
  t.equal(ring.hasRoom(old, 1), true)
  ring.add(entry(2))
  t.equal(ring.hasRoom(old, 1), false, 'it would grow for as long as its scope lives')
  ring.grow(old, 20_000)
  t.same(idsIn(ring), [2])
  t.same(changed, [1, 2])
})

void t.test('long URLs count', async t => {
  const ring = new Ring({ requests: 100, bytes: 10_000 }, () => {})
  const long = new Entry(1, 'request', { id: 'req-1', method: 'GET', url: 'x'.repeat(1_000), route: undefined })
  ring.add(long)
  t.equal(ring.hasRoom(long, 1), false)
})
