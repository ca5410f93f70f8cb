import { MikroORM } from '@mikro-orm/sqlite'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import type { RequestScope } from '../../../lib/fastify/request-scope.ts'
import { requestScopeOf } from '../../../lib/fastify/scoped-request.ts'
import scopedDb from '../../../plugin.ts'
import { ItemSchema as Item, PartSchema as Part } from '../../support/entities.ts'
import { tableUnder } from '../../support/fences.ts'

/** What can be asked of a scope that is not made. */
const EVENTS: Record<string, (scope: RequestScope) => unknown> = {
  'end(commit)': scope => scope.endUnmade('commit'),
  'end(rollback)': scope => scope.endUnmade('rollback'),
  'close()': scope => scope.close(),
  'reopen()': scope => scope.reopen()
}

/** How it gets into each state. */
const WAYS: Record<string, (scope: RequestScope) => unknown> = {
  open: () => {},
  committed: scope => scope.endUnmade('commit'),
  'rolled back': scope => scope.endUnmade('rollback'),
  closed: scope => scope.close()
}

async function after (t: Test, state: string, event: string): Promise<string | undefined> {
  const orm = await MikroORM.init({ entities: [Item, Part], dbName: ':memory:' })
  const app = Fastify()
  await app.register(scopedDb, { orm, commitOnTeardown: true })
  let reached: string | undefined
  app.get('/', async request => {
    const scope = requestScopeOf(request) as RequestScope
    await WAYS[state]?.(scope)
    t.equal(scope.state, state)
    await EVENTS[event]?.(scope)
    reached = scope.state
    t.equal(scope.made, undefined)
    t.equal(scope.openScope().state, reached, `${state}, ${event}: one that is made late is in the same state`)
    return 'ok'
  })
  t.equal((await app.inject('/')).statusCode, 200)
  t.equal(app.db.openScopes, 0, `${state}, ${event}: nothing is left open`)
  await app.close()
  await orm.close()
  return reached
}

void t.test('a scope that is not made in each state, and all that can be asked of it', async t => {
  const table = tableUnder('docs/architecture.md', '### Of a scope that is not made')
  t.same(Object.keys(table), Object.keys(WAYS))
  for (const [state, row] of Object.entries(table)) {
    t.same(Object.keys(row), Object.keys(EVENTS))
    for (const [event, expected] of Object.entries(row)) t.equal(await after(t, state, event), expected, `${state}, ${event}`)
  }
})
