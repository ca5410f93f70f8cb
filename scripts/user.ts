import { join } from 'node:path'
import { readFileSync } from 'node:fs'
import { ROOT } from './checks.ts'

export const { name: NAME, engines: ENGINES, peerDependencies: PEERS } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  readonly name: string
  readonly engines: { readonly node: string }
  readonly peerDependencies: Record<'@mikro-orm/core' | 'fastify', string>
}

/** What a user may write: the plugin, the global, the augmentation and a test's isolation. Another plugin's augmentation is beside them. */
export const TYPES = `
import Fastify from 'fastify'
import type { EntityManager } from '@mikro-orm/core'
import scopedDb, { db, type ScopedDbOptions } from '${NAME}'
import inspector, { type InspectorOptions } from '${NAME}/inspector'
import { isolate, type Isolation } from '${NAME}/testing'

interface DriverEntityManager extends EntityManager { driverOnly (): void }

declare module '${NAME}' {
  interface Databases { default: DriverEntityManager }
}

declare module 'fastify' {
  interface RouteOptions { ofAnotherPlugin?: true }
}

const options: ScopedDbOptions = { commitOnTeardown: true }
const app = Fastify()
app.register(scopedDb, options)
const inspectorOptions: InspectorOptions = { prefix: '/_db', allow: request => request.ip === '127.0.0.1' }
app.register(inspector, inspectorOptions)
app.get('/', { config: { db: false } }, async request => request.db.driverOnly())
app.get('/read-only', { config: { db: { readOnly: true } } }, async request => request.db.driverOnly())
export const session: DriverEntityManager = db.session
export const isolation: Promise<Isolation> = isolate(app)
`

/** Declaration files are checked in full. */
export const tsconfig = (module: 'nodenext' | 'bundler') => JSON.stringify({
  compilerOptions: {
    target: 'es2022',
    lib: ['es2023', 'esnext.disposable'],
    module: module === 'bundler' ? 'esnext' : module,
    moduleResolution: module,
    types: ['node'],
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
    skipLibCheck: false
  },
  files: ['types.ts']
})

const program = (imports: string) => `${imports}

async function main () {
  const User = defineEntity({ name: 'User', properties: { id: p.integer().primary(), name: p.string().unique() } })
  const orm = await MikroORM.init({ dbName: ':memory:', entities: [User] })
  await orm.schema.create()
  const app = Fastify()
  await app.register(scopedDb, { orm, commitOnTeardown: true, mapErrors: true })
  await app.register(inspector)
  app.post('/:status', async (request, reply) => {
    reply.code(Number(request.params.status))
    return db.session.create(User, { name: \`answered \${request.params.status}\` })
  })
  const statuses = []
  for (const status of [201, 409, 303, 201]) statuses.push((await app.inject({ method: 'POST', url: \`/\${status}\` })).statusCode)
  deepEqual(statuses, [201, 409, 303, 409])

  const isolation = await isolate(app)
  equal((await app.inject({ method: 'POST', url: '/202' })).statusCode, 202)
  await isolation.release()

  const users = await db.run(async () => await db.session.find(User, {}, { orderBy: { id: 'asc' } }))
  deepEqual(users.map(user => user.name), ['answered 201', 'answered 303'])
  equal(app.db.openScopes, 0)
  equal((await app.inject('/_db/page.js')).statusCode, 200)
  equal((await app.inject('/_db/requests.json')).json().length, 6)
  await app.close()
  await orm.close()
}

main().catch(error => {
  console.error(error)
  process.exitCode = 1
})
`

/** Small programs, by their file: what they answer 2xx or 3xx is in the database, and nothing else. */
export const PROGRAMS = {
  'program.mjs': program(`
import { defineEntity, MikroORM, p } from '@mikro-orm/sqlite'
import Fastify from 'fastify'
import scopedDb, { db } from '${NAME}'
import inspector from '${NAME}/inspector'
import { isolate } from '${NAME}/testing'
import { deepEqual, equal } from 'node:assert/strict'`),
  'program.cjs': program(`
const { defineEntity, MikroORM, p } = require('@mikro-orm/sqlite')
const Fastify = require('fastify')
const { default: scopedDb, db } = require('${NAME}')
const { default: inspector } = require('${NAME}/inspector')
const { isolate } = require('${NAME}/testing')
const { deepEqual, equal } = require('node:assert/strict')`)
}
