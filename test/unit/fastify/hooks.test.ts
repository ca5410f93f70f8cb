import { MikroORM } from '@mikro-orm/sqlite'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import scopedDb from '../../../plugin.ts'
import { ItemSchema as Item, PartSchema as Part } from '../../support/entities.ts'
import { tableUnder } from '../../support/fences.ts'

function own (_request: unknown, _reply: unknown, done: () => void): void { done() }

const OPTIONAL = ['preValidation', 'preHandler', 'onResponse'] as const

/** A route of each column. */
const ROUTES: Record<string, string> = { 'GET, HEAD': '/get', 'other methods': '/post', 'with `own`': '/with-hooks' }

/** What Fastify says of the hooks of a route. */
function hooksOf (app: FastifyInstance, route: string): Record<string, string> {
  const lines = app.printRoutes({ commonPrefix: false, includeHooks: true }).split('\n')
  const hooks: Record<string, string> = {}
  for (const line of lines.slice(lines.findIndex(line => line.includes(route)) + 1)) {
    const [, stage, names] = /• \((\w+)\) (.*)/.exec(line) ?? []
    if (stage === undefined || names === undefined) break
    hooks[stage] = (JSON.parse(names) as string[]).map(name => name.replace('()', '')).join(', ')
  }
  return hooks
}

void t.test('which hooks a route has', async t => {
  const orm = await MikroORM.init({ entities: [Item, Part], dbName: ':memory:' })
  const app = Fastify({ exposeHeadRoutes: false })
  await app.register(scopedDb, { orm })
  app.get('/get', async () => ({}))
  app.post('/post', async () => ({}))
  app.get('/with-hooks', { preValidation: own, preHandler: own, onResponse: own }, async () => ({}))
  app.get('/without-scope', { config: { db: false } }, async () => ({}))
  await app.register(async child => {
    child.get('/in-a-context', async () => ({}))
    for (const stage of OPTIONAL) for (const hook of [own, own]) child.addHook(stage, hook)
  })
  await app.ready()
  const table = tableUnder('docs/architecture.md', '## Which hooks a route has')
  for (const [column, route] of Object.entries(ROUTES)) {
    const expected = Object.entries(table).map(([stage, columns]) => [stage, columns[column]]).filter(([, hooks]) => hooks !== '-')
    t.same(hooksOf(app, route), Object.fromEntries(expected), route)
  }
  const { preValidation, preHandler, onResponse } = hooksOf(app, '/in-a-context')
  t.same([preValidation, preHandler], Array(2).fill('enterScopeWithBody, own, own'))
  t.equal(onResponse, 'recordResponse, closeScopeOfUnseenRoute, anonymous, anonymous, recordResponse, closeScope', 'those of contexts are watched')
  t.same(Object.keys(hooksOf(app, '/without-scope')).sort(), ['onError', 'onRequest', 'onSend', 'preSerialization'])
  await app.close()
  await orm.close()
})
