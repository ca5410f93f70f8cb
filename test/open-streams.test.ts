import t from 'tap'
import { OpenStreams } from '../lib/transaction/query-streams.ts'

void t.test('a stream gives its connection back once, whoever ends it', async t => {
  const streams = new OpenStreams()
  let left = 0
  async function * rows () {
    yield 1
    yield 2
  }
  const read = () => streams.read('inside', rows(), async () => { left++ }, () => new Error('cut'))

  const cut = read()
  await cut.next()
  t.equal(streams.has('inside'), true)
  await streams.cut('inside')
  await t.rejects(cut.next(), { message: 'cut' })
  t.equal(left, 1)

  for await (const row of read()) t.ok(row)
  t.equal(left, 2)
  t.equal(streams.has('inside'), false)
})

void t.test('a stream that cannot be ended gives its connection back, too', async t => {
  const streams = new OpenStreams()
  let left = 0
  const rows: AsyncIterableIterator<number> = {
    next: async () => ({ value: 1 }),
    return: async () => { throw new Error('lost') },
    [Symbol.asyncIterator] () { return this }
  }
  const read = () => streams.read('inside', rows, () => { left++ }, () => new Error('cut'))
  await t.rejects((async () => { for await (const row of read()) if (row === 1) break })(), { message: 'lost' })
  t.equal(left, 1)
  await read().next()
  await streams.cut()
  t.equal(left, 2)
})

void t.test('a reader is idle from the row that it has until it asks for the next', async t => {
  const streams = new OpenStreams()
  const row = Promise.withResolvers<void>()
  async function * rows () {
    yield 1
    await row.promise
    yield 2
  }
  const reading = (place: 'inside' | 'outside') => streams.read(place, rows(), async () => {}, () => new Error('cut'))
  t.equal(streams.hasIdleReader, false)
  const outside = reading('outside')
  await outside.next()
  t.equal(streams.hasIdleReader, false, 'that one has a connection of its own')
  const inside = reading('inside')
  const first = inside.next()
  t.equal(streams.hasIdleReader, false, 'it waits for its first row')
  await first
  t.equal(streams.hasIdleReader, true)
  const second = inside.next()
  t.equal(streams.hasIdleReader, false, 'it waits for the second')
  row.resolve()
  await second
  t.equal(streams.hasIdleReader, true)
  await inside.return?.(undefined)
  t.equal(streams.hasIdleReader, false)
  t.equal(streams.isEmpty, false)
  await streams.cut()
  t.equal(streams.isEmpty, true)
})
