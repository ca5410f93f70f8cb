import t from 'tap'
import { QueryStreams } from '../../../lib/transaction/query-streams.ts'

void t.test('a stream gives its connection back once, whoever ends it', async t => {
  const streams = new QueryStreams()
  let released = 0
  async function * rows () {
    yield 1
    yield 2
  }
  const read = () => streams.read('inside', rows(), async () => { released++ }, () => new Error('closed'))

  const closed = read()
  await closed.next()
  t.equal(streams.has('inside'), true)
  await streams.close('inside')
  await t.rejects(closed.next(), { message: 'closed' })
  t.equal(released, 1)

  for await (const row of read()) t.ok(row)
  t.equal(released, 2)
  t.equal(streams.has('inside'), false)
})

void t.test('a stream that cannot be ended gives its connection back, too', async t => {
  const streams = new QueryStreams()
  let released = 0
  const rows: AsyncIterableIterator<number> = {
    next: async () => ({ value: 1 }),
    return: async () => { throw new Error('lost') },
    [Symbol.asyncIterator] () { return this }
  }
  const read = () => streams.read('inside', rows, () => { released++ }, () => new Error('closed'))
  await t.rejects((async () => { for await (const row of read()) if (row === 1) break })(), { message: 'lost' })
  t.equal(released, 1)
  await read().next()
  await streams.close()
  t.equal(released, 2)
})

void t.test('a reader is idle from the row that it has until it asks for the next', async t => {
  const streams = new QueryStreams()
  const row = Promise.withResolvers<void>()
  async function * rows () {
    yield 1
    await row.promise
    yield 2
  }
  const reading = (place: 'inside' | 'outside') => streams.read(place, rows(), async () => {}, () => new Error('closed'))
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
  await streams.close()
  t.equal(streams.isEmpty, true)
})
