import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { childEnvironment } from '../../support/child-environment.ts'

/** Two rows with the same key, each in a request of its own, and a transaction that cannot be committed any more. */
const APPLICATION = `
  import { defineEntity, MikroORM, p } from '@mikro-orm/sqlite'
  import Fastify from 'fastify'
  import scopedDb from './plugin.ts'

  const Item = defineEntity({ name: 'Item', properties: { id: p.integer().primary() } })
  const orm = await MikroORM.init({ dbName: ':memory:', entities: [Item] })
  await orm.schema.create()
  const app = Fastify()
  await app.register(scopedDb, { orm, commitOnTeardown: true })
  app.post('/', async request => { request.db.create(Item, { id: 1 }) })
  app.post('/lost', async request => {
    await request.db.insert(Item, { id: 2 })
    const native = await orm.driver.getConnection().getNativeClient()
    native.exec('rollback')
  })
  app.post('/conflict', async (request, reply) => {
    await request.db.count(Item)
    return reply.code(409).send()
  })
  for (const url of ['/', '/', '/lost', '/conflict']) console.log((await app.inject({ method: 'POST', url })).statusCode)
  await app.close()
  await orm.close()
`

/** What it writes to standard error while NODE_DEBUG is this, without the number of its process. */
function linesOf (t: Test, section: string): string[] {
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', APPLICATION], {
    cwd: join(import.meta.dirname, '../../..'),
    env: { ...childEnvironment, NODE_DEBUG: section },
    encoding: 'utf8',
    timeout: 60_000
  })
  t.equal(stdout, '200\n500\n500\n409\n')
  return stderr.trim().split('\n').map(line => line.replace(/^FASTIFY-SCOPED-DB \d+: /, ''))
}

void t.test('NODE_DEBUG shows what is sent for each transaction', t => {
  const statements = linesOf(t, 'fastify-scoped-db').filter(line => /^(?:BEGIN|COMMIT|ROLLBACK)\b/.test(line))
  t.same(statements, [
    'BEGIN', 'COMMIT',
    'BEGIN', 'ROLLBACK',
    'BEGIN', 'COMMIT', 'COMMIT failed: SqliteError: cannot commit - no transaction is active',
    'ROLLBACK', 'ROLLBACK failed: SqliteError: cannot rollback - no transaction is active',
    'BEGIN', 'ROLLBACK'
  ])
  t.end()
})

void t.test('NODE_DEBUG shows what becomes of each scope, and why', t => {
  const lines = linesOf(t, 'fastify-scoped-db').join('\n').split('scope opened: request\n').slice(1).map(scope => scope.trim().split('\n'))
  t.same(lines[0], ['session made: of database default', 'outcome: commit, status 200', 'scope ending: request', 'BEGIN', 'COMMIT', 'scope committed: request', 'scope closed: request'])
  t.same(lines[1], ['session made: of database default', 'outcome: commit, status 200', 'scope ending: request', 'BEGIN', 'ROLLBACK', 'scope rolled back: request', 'scope closed: request'], 'its flush has failed')
  t.same(lines[3], ['session made: of database default', 'BEGIN', 'outcome: rollback, status 409', 'scope ending: request', 'ROLLBACK', 'scope rolled back: request', 'scope closed: request'])
  t.end()
})

void t.test('without it there is nothing', t => {
  t.same(linesOf(t, ''), [''])
  t.end()
})
