import t from 'tap'
import { Entry } from '../../../lib/inspector/entry.ts'

const statement = { database: 'default', sql: 'select 1', literals: [], kind: 'read', inTransaction: false, place: undefined, at: 0 } as const

void t.test('a request runs until it is answered and its scope is closed', async t => {
  const entry = new Entry(1, 'request', { id: 'req-1', method: 'GET', url: '/', route: '/' })
  t.equal(entry.isRunning, true)
  entry.opened()
  entry.answered(200)
  t.equal(entry.isRunning, true)
  entry.closed()
  t.equal(entry.isRunning, false)
  const { duration } = entry
  t.equal(entry.duration, duration, 'it lasts no longer')
})

void t.test('a run runs until its scope is closed', async t => {
  const entry = new Entry(1, 'db.run', undefined)
  entry.opened()
  t.equal(entry.isRunning, true)
  entry.closed()
  t.equal(entry.isRunning, false)
})

void t.test('a thousand statements are kept', async t => {
  const entry = new Entry(1, 'db.run', undefined)
  for (let n = 0; n < 1_001; n++) entry.sentStatement('read', statement)
  entry.sentStatement('control', undefined)
  t.same([entry.statements.length, entry.leftOut, entry.sent], [1_000, 2, 1_001])
})
