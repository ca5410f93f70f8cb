import t from 'tap'
import { OpenStreams } from '../lib/transaction/open-streams.ts'

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
