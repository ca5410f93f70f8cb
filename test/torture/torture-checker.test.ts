/** What the torture takes for a violation of the promise. */
import Fastify from 'fastify'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { connect, createServer, type AddressInfo } from 'node:net'
import t from 'tap'
import { Descriptors } from '../../torture/application/descriptors.ts'
import { check, fatesOfUnknown, type Violation } from '../../torture/checker.ts'
import { NEVER_ANSWERED, type Answer } from '../../torture/answer.ts'
import type { Contents } from '../../torture/database/database.ts'
import type { Work } from '../../torture/application/messages.ts'
import type { Entry } from '../../torture/ledger.ts'
import { faultNames } from '../../torture/faults/all.ts'
import { planRequest } from '../../torture/plan.ts'
import { findRoute } from '../../torture/routes.ts'
import { Works } from '../../torture/works.ts'

const UNKNOWN = { status: 500, code: 'FST_SCOPED_DB_COMMIT_UNKNOWN' }

const PARTLY = { status: 500, code: 'FST_SCOPED_DB_PARTLY_COMMITTED' }

/** What is known of a request that writes two rows: one to /run two more in its `db.run()`, one to /both in the second database. */
function entry (token: string, answer: Partial<Answer>, route = 'run'): Entry {
  return { request: planRequest(token, findRoute(route), {}), answer: { status: undefined, hasLeft: false, isRead: true, ...answer }, at: 0, took: 1_000 }
}

const NO_WORK = new Works(new Map(), new Map())

/** That of t1 after its outcome. */
function works (told: Work[], dropped = 0): Works {
  return new Works(new Map([['t1', told]]), new Map([['t1', dropped]]))
}

function contentsOf (parts: Record<string, number[]>): Contents {
  return { parts: new Map(Object.entries(parts).filter(([, parts]) => parts.length > 0)), counters: [] }
}

/** What was found, but for what is said of work after the outcome, which has a test of its own. */
function whatOf (violations: Violation[]): string[] {
  return violations.map(({ what }) => what).filter(what => !what.includes('its work'))
}

function found (parts: number[], answer: Partial<Answer>, runParts: number[] = [1, 2]): string[] {
  return whatOf(check([entry('t1', { hasRun: true, ...answer })], contentsOf({ t1: parts, 't1/run': runParts }), NO_WORK))
}

function foundInBoth (first: number[], second: number[], answer: Partial<Answer>): string[] {
  return whatOf(check([entry('t1', answer, 'both')], contentsOf({ t1: first, 't1/second': second }), NO_WORK))
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

void t.test('a reply that comes before the outcome says nothing of it, but for an error', async t => {
  const told = (parts: number[], status: number) => whatOf(check([entry('t1', { status }, 'take-over')], contentsOf({ t1: parts }), NO_WORK))
  t.same([...told([], 101), ...told([1, 2], 101), ...told([], 500)], [])
  t.match(told([1], 101), [/torn/])
  t.match(told([1, 2], 500), [/whole/])
})

void t.test('two databases have one outcome', async t => {
  const both = [1, 2]
  t.same(foundInBoth(both, both, { status: 200 }), [])
  t.match(foundInBoth(both, [], { status: 200 }), [/its second database has it absent/])
  t.match(foundInBoth([], [], { status: 200 }), [/its unit of work is absent/])
  for (const status of [409, 500]) {
    t.same(foundInBoth([], [], { status }), [])
    t.match(foundInBoth([], both, { status }), [/its second database has it whole/])
  }
  for (const answer of [{}, { status: 500, isRead: false }]) {
    t.same([...foundInBoth(both, both, answer), ...foundInBoth([], [], answer), ...foundInBoth(both, [], answer)], [])
    t.match(foundInBoth([], both, answer), [/its second database has it whole/])
  }
  t.same([...foundInBoth(both, [], UNKNOWN), ...foundInBoth([], [], UNKNOWN)], [])
  t.match(foundInBoth(both, both, UNKNOWN), [/its second database has it whole/])
  t.same([...foundInBoth(both, [], PARTLY), ...foundInBoth(both, both, PARTLY)], [])
  t.match(foundInBoth([], [], PARTLY), [/its unit of work is absent/])
  t.match(foundInBoth(both, [1], PARTLY), [/its second database has it torn/])
})

void t.test('work after the outcome is done once, and after that outcome', async t => {
  const told = (work: Works, parts: number[], answer: Partial<Answer> = {}) => check([entry('t1', answer, 'insert')], contentsOf({ t1: parts }), work).map(({ what }) => what)
  t.same(told(works(['registered', 'committed']), [1, 2]), [])
  t.same(told(works(['registered', 'rolledBack']), []), [])
  t.same(told(works(['registered', 'rolledBack', 'registered', 'committed']), [1, 2]), [], 'a retry')
  t.same(told(works(['registered', 'registered', 'takenBack', 'committed']), [1, 2]), [], 'a savepoint')
  t.match(told(works(['registered', 'registered', 'takenBack', 'committed', 'committed']), [1, 2]), [/registered work 2 times, of which 2 were done after a commit, 0 after a rollback, 1 taken back/])
  t.same(told(works(['registered', 'registered', 'rolledBack', 'rolledBack', 'takenBack']), []), [], 'a rollback of everything before that of the savepoint')
  t.same(told(works([]), []), [])
  t.same([...told(works(['registered'], 2), [], UNKNOWN), ...told(works(['registered'], 2), [1, 2], UNKNOWN)], [])
  t.match(told(works(['registered']), []), [/registered work 1 times, of which 0 were done/])
  t.match(told(works(['registered', 'committed', 'committed']), [1, 2]), [/of which 2 were done after a commit/])
  t.match(told(works(['registered', 'committed']), []), [/has done its work after the commit, but is absent/])
  t.match(told(works(['registered', 'rolledBack']), [1, 2]), [/is whole, but has not done its work after the commit/])
  t.match(told(works(['registered', 'committed']), [1, 2], UNKNOWN), [/although nobody knows of one/])
})

void t.test('units whose outcome nobody knows are counted by what became of them', async t => {
  const entries = ['t1', 't2'].map(token => entry(token, UNKNOWN))
  t.same(fatesOfUnknown(entries, { parts: new Map([['t1', [1, 2]]]), counters: [] }), ['whole', 'absent'])
})

void t.test('a request that writes nothing', async t => {
  const entries = [entry('t1', { status: 200 }, 'idle')]
  const contents: Contents = { parts: new Map(), counters: [] }
  t.same(check(entries, contents, NO_WORK), [])
  t.same(fatesOfUnknown(entries, contents), [])
})

void t.test('rows that nobody sent, and updates that are lost', async t => {
  const contents: Contents = { parts: new Map([['t9', [1]]]), counters: [{ id: 1, value: 3, named: 3 }, { id: 2, value: 3, named: 4 }] }
  t.same(check([], contents, NO_WORK).map(({ what }) => what), ['t9 is in the database, and nobody sent it', 'counter 2 is 3, but 4 units of work have raised it'])
})

void t.test('a server has the faults of a file and more, a cluster those of a server and more', async t => {
  const [file, server, cluster] = [faultNames('file'), faultNames('server'), faultNames('cluster')] as const
  t.ok(file.includes('stop') && !file.includes('crash'))
  t.ok(server.includes('crash') && !server.includes('node-crash'))
  t.ok(cluster.includes('node-crash') && cluster.includes('conflict'))
  t.same(file.filter(name => !server.includes(name)), [])
  t.same(server.filter(name => !cluster.includes(name)), [])
})

void t.test('nodes of a cluster that have not the same', async t => {
  const differences = ['node 2 has other rows than the first of t1']
  t.same(check([], { parts: new Map(), counters: [], differences }, NO_WORK).map(({ what }) => what), differences)
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
  for (const code of ['ER_CON_COUNT_ERROR', '53300']) {
    const full = entry('t1', { status: 500, code }, 'insert')
    t.same(whatOf(check([full], contentsOf({}), NO_WORK)), [])
    t.match(whatOf(check([{ ...full, took: 20 }], contentsOf({}), NO_WORK)), [/waited only 20 ms/])
  }
})

void t.test('files of replies, and sockets of nobody', { skip: existsSync('/proc/self/fd') ? false : 'this system has no /proc' }, async t => {
  const payload = `${t.testdir({ payload: 'x' })}/payload`
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  const app = Fastify()
  await app.listen({ port: 0, host: '127.0.0.1' })
  const descriptors = await Descriptors.watch(app, payload)
  t.same(await descriptors.leftBehind(0), [])

  const file = await open(payload)
  t.same(await descriptors.leftBehind(0), ['1 files of replies are open'])
  await file.close()

  const socket = connect((other.address() as AddressInfo).port, '127.0.0.1')
  const [accepted] = await once(other, 'connection') as [typeof socket]
  // Both ends are here.
  t.same(await descriptors.leftBehind(0), ['2 sockets are open that belong to nobody'])
  t.same(await descriptors.leftBehind(2), [], 'of a pool')
  for (const end of [socket, accepted]) end.destroy()

  const client = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
  await once(app.server, 'connection')
  t.same(await descriptors.leftBehind(1), [], 'of a client, and its own end')
  client.destroy()
  other.close()
  await app.close()
})
