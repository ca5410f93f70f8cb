import Fastify from 'fastify'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import { createConnection } from 'mysql2/promise'
import t, { type Test } from 'tap'
import { buildApp } from '../../examples/demo/app.ts'
import { Cues } from '../../examples/demo/cues.ts'
import { DemoDatabase } from '../../examples/demo/database.ts'
import { explain } from '../../examples/demo/errors.ts'
import { listen, portOf } from '../../examples/demo/listen.ts'
import { unsavedNotes } from '../../examples/demo/notes.ts'
import { Observer } from '../../examples/demo/observer.ts'
import { Timeline } from '../../examples/demo/timeline.ts'
import { Demo, type DemoSettings } from '../support/demo.ts'
import { createDatabase } from '../support/databases.ts'
import { mysqlUrl, postgresqlUrl } from '../support/server-urls.ts'

async function playedOut (t: Test, demo: Demo): Promise<void> {
  await demo.serves()
  t.same(demo.authors, ['second', 'fourth', 'fourth'], 'the table holds what was committed, and nothing else')

  const scopes = ['first', 'second', 'third', 'fourth', 'fifth']
  const sessions = scopes.map(scope => demo.sessionsOf(scope))
  t.ok(sessions.every(ids => ids.length === 1), 'each request has one session')
  t.equal(new Set(sessions.flat()).size, scopes.length, 'no two requests have the same one')
  t.equal(demo.count('session opened'), scopes.length)
  t.equal(demo.count('session removed'), scopes.length)
  t.match(demo.stdout, /fifth +#\d+ +session removed; sessions left open: 0/, 'it is removed when it is rolled back')
  t.equal(demo.count('the client has gone'), 2)
  t.equal(demo.count(': scope opened, no session yet'), scopes.length)
  t.match(demo.stdout, /first +- +POST .*\n.*first +#\d+ +session opened/, 'a session comes after its scope')
  t.match(demo.stdout, /first +#\d+ +session opened[\s\S]*second +#\d+ +session opened[\s\S]*first +#\d+ +session removed/, 'they overlap')
  t.match(demo.stdout, /third +#\d+ .*sees: second, third/, 'the third has seen its own row')
  t.match(demo.stdout, /unflushed changes were dropped .*\{"Note":1\}/)
}

async function keepsServing (t: Test, demo: Demo): Promise<void> {
  t.same(await authorsAt(demo.notesUrl), ['second', 'fourth', 'fourth'])

  const created = await post(demo.notesUrl, 'hello')
  t.equal(created.status, 201)
  t.type((await created.json() as { id: unknown }).id, 'number', 'the answer has the generated id')

  const failed = await post(`${demo.notesUrl}/fail`, 'gone')
  t.equal(failed.status, 500)
  await failed.body?.cancel()
  t.same(await authorsAt(demo.notesUrl), ['second', 'fourth', 'fourth', 'you'])
}

async function showsThePage (t: Test, demo: Demo): Promise<void> {
  t.match(demo.stdout, '/_db in a browser')
  const requests = await (await fetch(demo.notesUrl.replace('/notes', '/_db/requests.json'))).json() as { request?: { id: string }, outcome?: string }[]
  const outcomes = Object.fromEntries(requests.map(({ request, outcome }) => [request?.id, outcome]))
  t.match(outcomes, { second: 'commit', third: 'rollback', fourth: 'commit', fifth: 'rollback' })
}

async function authorsAt (url: string): Promise<string[]> {
  const response = await fetch(url)
  return (await response.json() as { author: string }[]).map(note => note.author)
}

async function post (url: string, text: string): Promise<Response> {
  return await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ text }) })
}

void t.test('on SQLite it plays, serves, and ends with Ctrl-C', async t => {
  const demo = new Demo(t, {})
  await playedOut(t, demo)
  await showsThePage(t, demo)
  await keepsServing(t, demo)
  t.equal(await demo.stopped('SIGINT'), 0)
  t.equal(demo.stderr, '')
  t.notMatch(demo.stdout, '\u001b[', 'no colours where there is no terminal')
})

const server = mysqlUrl()
void t.test('on MySQL it does the same, and leaves no table', { skip: server === undefined && 'no MYSQL_URL' }, async t => {
  const name = `scoped_db_demo_test_${process.pid}`
  const connection = await createConnection(String(server))
  t.teardown(async () => {
    await connection.query(`drop database if exists ${name}`)
    await connection.end()
  })

  const demo = new Demo(t, { DATABASE_URL: `${server}/${name}` })
  await playedOut(t, demo)
  await keepsServing(t, demo)

  await t.test('a second demo on the same port does not touch the table of the first', async t => {
    const { port } = new URL(demo.notesUrl)
    // The other spelling of the protocol.
    const second = new Demo(t, { DATABASE_URL: `${server}/${name}`.replace(/^mysql:/, 'mariadb:'), PORT: port })
    t.equal(await second.exitCode(), 1)
    t.equal(second.stderr, `demo: port ${port} is busy; PORT=0 takes any free one\n`)
    t.equal((await authorsAt(demo.notesUrl)).length, 4)
  })

  await t.test('SIGTERM ends it too', async t => {
    t.equal(await demo.stopped('SIGTERM'), 0)
    t.equal(demo.stderr, '')
    const [tables] = await connection.query(`show tables from ${name}`)
    t.same(tables, [], 'no table')
  })
})

void t.test('on PostgreSQL it does the same, and leaves no table', { skip: postgresqlUrl() === undefined && 'no PG_URL' }, async t => {
  const database = await createDatabase('postgresql')
  t.teardown(async () => await database.drop())
  const tables = async () => (await database.witness.driver.execute<{ name: string }[]>("select table_name as name from information_schema.tables where table_schema = 'public' order by 1")).map(({ name }) => name)
  const before = await tables()
  const demo = new Demo(t, { DATABASE_URL: `${postgresqlUrl()}/${String(database.options.dbName)}` })
  await playedOut(t, demo)
  await keepsServing(t, demo)
  t.equal(await demo.stopped('SIGTERM'), 0)
  t.equal(demo.stderr, '')
  t.same(await tables(), before)
})

void t.test('Ctrl-C in the middle of the play ends it cleanly', async t => {
  const demo = new Demo(t, { INTERRUPT_AT: 'adds a note; unwritten' })
  t.equal(await demo.exitCode(), 0)
  t.equal(demo.stderr, '')
  t.match(demo.stdout, 'Act 1')
  t.notMatch(demo.stdout, 'In the table at the end', 'it was in the middle')
  t.match(demo.stdout, /\nClosed\.\n$/)
})

void t.test('a connection that is never used does not keep it from ending', async t => {
  const demo = new Demo(t, {})
  await demo.serves()
  const { hostname, port } = new URL(demo.notesUrl)
  const unused = connect(Number(port), hostname).on('error', () => {})
  t.teardown(() => unused.destroy())
  await once(unused, 'connect')
  t.equal(await demo.stopped('SIGINT'), 0)
})

void t.test('what cannot work gets one line and exit code 1', async t => {
  // What listens there closes every connection.
  const busy = createServer(socket => socket.destroy()).listen(0, '127.0.0.1')
  await once(busy, 'listening')
  t.teardown(() => busy.close())
  const { port } = busy.address() as AddressInfo

  const cases: Record<string, [DemoSettings, RegExp]> = {
    'a busy port': [{ PORT: String(port) }, new RegExp(`port ${port} is busy`)],
    'a port that is none': [{ PORT: 'abc' }, /PORT is a number/],
    'not a URL': [{ DATABASE_URL: 'nonsense' }, /DATABASE_URL is not a URL/],
    'a malformed name': [{ DATABASE_URL: 'mysql://root@127.0.0.1:3306/%E0' }, /cannot use the MySQL database/],
    'no server': [{ DATABASE_URL: `mysql://root:secret@127.0.0.1:${port}/test` }, /cannot use the MySQL database test at 127/]
  }

  for (const [name, [settings, line]] of Object.entries(cases)) {
    void t.test(name, async t => {
      const demo = new Demo(t, settings)
      t.equal(await demo.exitCode(), 1)
      t.match(demo.stderr, line)
      t.match(demo.stderr, /^demo: [^\n]+\n$/, 'exactly one line')
      t.notMatch(demo.stderr, 'secret')
      t.equal(demo.stdout, '')
    })
  }

  for (const protocol of ['mysql', 'mariadb']) {
    void t.test(`${protocol}: is a protocol, and the password is not told`, async t => {
      const url = `${protocol}://root:secret@127.0.0.1:${port}/test`
      const error = await DemoDatabase.open(url).then(() => undefined, (error: Error) => error)
      t.match(error?.message, `cannot use the MySQL database test at 127.0.0.1:${port}: `)
      t.notMatch(error?.message, 'secret')
    })
  }
})

void t.test('PORT', async t => {
  t.equal(portOf(undefined), 3000)
  t.equal(portOf(''), 3000)
  t.equal(portOf('0'), 0)
  t.equal(portOf('65535'), 65535)
  for (const text of ['abc', '70000', '65536', '-1', '1.5', '0x50', ' ']) {
    t.throws(() => portOf(text), { message: `PORT is a number from 0 to 65535, not "${text}"` })
  }
})

void t.test('DATABASE_URL', async t => {
  const cases: Record<string, string> = {
    nonsense: 'is not a URL',
    'oracle://localhost/test': 'begins with "oracle:"',
    'postgresql:///test': 'names no host',
    'mysql:///test': 'names no host',
    'mysql://root@127.0.0.1:3306': 'names no database',
    'mysql://root@127.0.0.1:3306/': 'names no database',
    'mariadb://root@127.0.0.1:3306/one/two': 'names no database'
  }
  for (const [url, mistake] of Object.entries(cases)) {
    await t.rejects(DemoDatabase.open(url), {
      message: `DATABASE_URL ${mistake}; expected mysql:// or postgresql://user:password@host:port/database, or nothing for SQLite`
    })
  }
  for (const nothing of [undefined, '']) {
    const database = await DemoDatabase.open(nothing)
    t.equal(database.description, 'SQLite in memory')
    await database.close()
  }
})

void t.test('only a busy port is called a busy port', async t => {
  await t.rejects(listen(Fastify(), 70000), { code: 'ERR_SOCKET_BAD_PORT' })
})

void t.test('an error is explained in one line', async t => {
  t.equal(explain(new Error('\nfirst\nsecond')), 'first')
  t.equal(explain(Object.assign(new AggregateError([]), { code: 'ECONNREFUSED' })), 'ECONNREFUSED')
  t.equal(explain(new TypeError()), 'TypeError')
})

void t.test('after the stop nobody waits for a cue', async t => {
  const stop = new AbortController()
  const cues = new Cues(stop.signal)
  const waiting = cues.given('never')
  stop.abort()
  await t.rejects(waiting, { name: 'AbortError' })
  await t.rejects(cues.given('never either'), { name: 'AbortError' })
})

class Lines extends Timeline {
  readonly lines: string[] = []

  override print (text: string): void {
    this.lines.push(text.replace(/^ *[\d.]+ +/, ''))
  }
}

void t.test('the observer tells what it sees', async t => {
  const database = await DemoDatabase.open('')
  const timeline = new Lines()
  const observer = new Observer(timeline)
  const app = await buildApp({ orm: database.orm, sessionOptions: observer.sessionOptions, log: observer.log })
  t.teardown(async () => {
    await app.close()
    await database.close()
  })
  await database.createTable()
  // Uses a session before the observer looks.
  app.addHook('onRequest', async () => { unsavedNotes() })
  observer.watch(app)

  app.log.warn('outside any request. With a second sentence.')
  t.same(timeline.lines.splice(0), ['-       -        log, warning: outside any request'])

  const response = await fetch(`${await listen(app, 0)}/notes`, { headers: { 'x-request-id': 'early' } })
  t.same(await response.json(), [])
  await observer.quiet()
  t.same(timeline.lines, [
    'early   -        GET /notes: scope opened, with a session',
    'early   -        answered 200'
  ])
})
