import { MikroORM } from '@mikro-orm/sqlite'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { scopeIs } from '../../../lib/errors/errors.ts'
import type { Scope } from '../../../lib/scope/scope.ts'
import { TRANSITIONS, type ScopeState } from '../../../lib/scope/state.ts'
import { transition } from '../../../lib/transition.ts'
import scopedDb from '../../../plugin.ts'
import { tableUnder } from '../../support/fences.ts'
import { ItemSchema as Item, PartSchema as Part } from '../../support/entities.ts'

const STATES = Object.keys(TRANSITIONS) as ScopeState[]

/** What can be asked of a scope, and how. */
const EVENTS = {
  'end(commit)': (scope: Scope) => scope.end('commit'),
  'end(rollback)': (scope: Scope) => scope.end('rollback'),
  'close()': (scope: Scope) => scope.close(),
  'cancel()': (scope: Scope) => scope.cancel('left'),
  'destroy()': (scope: Scope) => scope.destroy()
}

/** How a scope with something to commit gets into each state. */
const WAYS: Record<ScopeState, (scope: Scope, held: Promise<void>) => unknown> = {
  open: () => {},
  ending: (scope, held) => {
    // What it waits for ends with the scope, as the wait for a reply's first byte does.
    scope.end('commit', () => held)?.catch(() => {})
  },
  committed: async scope => { await scope.end('commit') },
  'rolled back': async scope => { await scope.end('rollback') },
  destroyed: async scope => { await scope.cancel('left') },
  closed: async scope => { await scope.close() }
}

async function after (t: Test, state: ScopeState, event: keyof typeof EVENTS): Promise<string> {
  const orm = await MikroORM.init({ entities: [Item, Part], dbName: ':memory:' })
  const app = Fastify()
  await app.register(scopedDb, { orm, commitOnTeardown: true })
  await orm.schema.create()
  const scope = app.db.host.open({})
  const session = scope.session(app.db)
  session.create(Item, { label: 'x', amount: 0 })
  await session.flush()
  const held = Promise.withResolvers<void>()
  await WAYS[state](scope, held.promise)
  if (state === 'ending') while (scope.state !== 'ending') await new Promise(setImmediate)
  t.equal(scope.state, state)
  const asked = Promise.resolve(EVENTS[event](scope)).then(() => '', (error: { code?: string }) => error.code === 'FST_SCOPED_DB_SCOPE_CLOSED' ? ', throws' : String(error))
  await new Promise(setImmediate)
  held.resolve()
  const thrown = await asked
  const reached = `${scope.state}${thrown}`
  await scope.close()
  t.equal(app.db.openScopes, 0, `${state}, ${event}: nothing is left open`)
  await app.close()
  await orm.close()
  return reached
}

void t.test('a scope in each state, and all that can be asked of it', async t => {
  const table = tableUnder('docs/architecture.md', '### Of a scope')
  t.same(Object.keys(table), STATES)
  for (const [state, row] of Object.entries(table)) {
    t.same(Object.keys(row), Object.keys(EVENTS))
    for (const [event, expected] of Object.entries(row)) t.equal(await after(t, state as ScopeState, event as keyof typeof EVENTS), expected, `${state}, ${event}`)
  }
})

void t.test('a transition that is not in the table throws in tests, and is logged in production', async t => {
  const logged: object[] = []
  const owner = { log: { debug: () => {}, warn: () => {}, error: (details: object) => { logged.push(details) } } }
  for (const from of STATES) {
    for (const to of STATES) {
      if (TRANSITIONS[from].includes(to)) t.equal(transition(TRANSITIONS, from, to, owner), to)
      else t.throws(() => transition(TRANSITIONS, from, to, owner), { message: `fastify-scoped-db: there is no transition from "${from}" to "${to}"` })
    }
  }
  t.same(logged, [])
  process.env['NODE_ENV'] = 'production'
  t.teardown(() => { process.env['NODE_ENV'] = 'test' })
  t.equal(transition(TRANSITIONS, 'closed', 'open', owner), 'closed', 'it stays')
  t.match(logged, [{ err: { message: /from "closed" to "open"/ } }])
})

void t.test('what comes too late is told how late', async t => {
  t.match(scopeIs('rolled back'), { code: 'FST_SCOPED_DB_SCOPE_CLOSED', message: /: this scope is rolled back\. Most likely something was not awaited, .+\. Nothing more/ })
})

void t.test('the log is told of a scope once, however often it is closed', async t => {
  const orm = await MikroORM.init({ entities: [Item, Part], dbName: ':memory:' })
  const lines: { msg: string }[] = []
  const app = Fastify({ logger: { level: 'debug', stream: { write: (line: string) => { lines.push(JSON.parse(line) as { msg: string }) } } } })
  await app.register(scopedDb, { orm, commitOnTeardown: true })
  await orm.schema.create()
  for (const state of STATES) {
    lines.length = 0
    const scope = app.db.host.open({})
    await scope.session(app.db).insert(Item, { label: state, amount: 0 })
    await WAYS[state](scope, Promise.resolve())
    for (let n = 0; n < 2; n++) await Promise.all([scope.close(), scope.close()])
    t.equal(lines.filter(({ msg }) => msg === 'a unit of work has ended').length, 1, state)
  }
  await app.close()
  await orm.close()
})
