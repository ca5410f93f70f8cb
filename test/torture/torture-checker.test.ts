/** What the torture takes for a violation of the promise. */
import t from 'tap'
import { check, fatesOfUnknown } from '../../torture/checker.ts'
import { NEVER_ANSWERED, type Answer } from '../../torture/answer.ts'
import type { Contents } from '../../torture/database/database.ts'
import type { Entry } from '../../torture/ledger.ts'

const UNKNOWN = { status: 500, code: 'FST_SCOPED_DB_COMMIT_UNKNOWN' }

/** What is known of a request to /run that writes two rows, and two more in its `db.run()`. */
function entry (token: string, answer: Partial<Answer>): Entry {
  const request = {
    token,
    method: 'POST' as const,
    route: 'run',
    order: { counters: [], pause: 0, fails: false, collides: false, filler: '' },
    unit: { token, parts: [1, 2] },
    runUnit: { token: `${token}/run`, parts: [1, 2] },
    leaves: undefined,
    tells: undefined,
    fault: undefined
  }
  return { request, answer: { status: undefined, hasLeft: false, isRead: true, ...answer }, at: 0 }
}

function found (parts: number[], answer: Partial<Answer>, runParts: number[] = [1, 2]): string[] {
  const contents: Contents = { parts: new Map(Object.entries({ t1: parts, 't1/run': runParts }).filter(([, parts]) => parts.length > 0)), counters: [] }
  return check([entry('t1', { hasRun: true, ...answer })], contents).map(({ what }) => what)
}

void t.test('a unit of work, by what its client was told', async t => {
  for (const status of [200, 201, 303]) {
    t.same(found([1, 2], { status }), [])
    t.match(found([], { status }), [/answered \d+, but its unit of work is absent/])
    t.match(found([1], { status }), [/torn/])
    t.match(found([1, 1, 2], { status }), [/repeated/])
  }
  for (const status of [400, 409, 500, 503]) {
    t.same(found([], { status }), [])
    if (status !== 500) t.match(found([1, 2], { status, isRead: false }), [/whole/])
    t.match(found([1, 2], { status }), [/whole/])
    t.match(found([2], { status }), [/torn/])
  }
  for (const answer of [UNKNOWN, {}, { status: 500, isRead: false }]) {
    t.same(found([], answer), [])
    t.same(found([1, 2], answer), [])
    t.match(found([1], answer), [/torn/])
    t.match(found([1, 2, 1, 2], answer), [/repeated/])
  }
})

void t.test('a db.run() inside a request has an outcome of its own', async t => {
  t.same(found([], { status: 500, hasRun: true }), [])
  t.match(found([], { status: 500, hasRun: true }, []), [/db\.run\(\) of t1.* is absent/])
  t.match(found([], { status: 500, hasRun: false }), [/db\.run\(\) of t1.* is whole/])
  t.same(found([], { hasRun: false }, []), [])
  t.same(found([], { ...UNKNOWN, hasRun: false }), [])
})

void t.test('units whose outcome nobody knows are counted by what became of them', async t => {
  const entries = ['t1', 't2'].map(token => entry(token, UNKNOWN))
  t.same(fatesOfUnknown(entries, { parts: new Map([['t1', [1, 2]]]), counters: [] }), ['whole', 'absent'])
})

void t.test('a request that writes nothing', async t => {
  const reading = entry('t1', { status: 200 })
  const entries = [{ ...reading, request: { ...reading.request, method: 'GET' as const, route: 'idle', unit: undefined, runUnit: undefined } }]
  const contents: Contents = { parts: new Map(), counters: [] }
  t.same(check(entries, contents), [])
  t.same(fatesOfUnknown(entries, contents), [])
})

void t.test('rows that nobody sent, and updates that are lost', async t => {
  const contents: Contents = { parts: new Map([['t9', [1]]]), counters: [{ id: 1, value: 3, named: 3 }, { id: 2, value: 3, named: 4 }] }
  t.same(check([], contents).map(({ what }) => what), ['t9 is in the database, and nobody sent it', 'counter 2 is 3, but 4 units of work have raised it'])
})

void t.test('what error replies say', async t => {
  const told = (answer: Partial<Answer>) => found([], { hasRun: true, ...answer })
  t.same(told({ status: 500, body: '{"message":"A database error occurred","code":"ER_DUP_ENTRY"}' }), [])
  t.match(told({ status: 500, body: '{"message":"Duplicate entry \'taken\'"}' }), [/tells of the database/])
  t.match(told({ status: 500, body: 'select 1' }), [/tells of the database/])
  t.match(told({ status: 500, body: '{"message":"no","detail":"of entry 1"}' }), [/tells of the database/])
  t.same(told({ status: 500 }), [])
  t.same(told({ status: 409, body: '{"taken":true}' }), [])
  t.match(told({ error: NEVER_ANSWERED }), [/t1 to \/run was never answered/])
  const late = { status: 503, code: 'FST_SCOPED_DB_ACQUIRE_TIMEOUT' }
  t.same(told({ ...late, retryAfter: '1' }), [])
  t.match(told(late), [/waited too long for a connection and got 503, Retry-After: undefined/])
  t.match(told({ ...late, status: 500, retryAfter: '1' }), [/got 500/])
})
