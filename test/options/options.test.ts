import { DriverException } from '@mikro-orm/core'
import Fastify from 'fastify'
import t from 'tap'
import scopedDb, { db, type ScopedDbOptions } from '../../plugin.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'

async function register (options: object): Promise<void> {
  const app = Fastify()
  app.register(scopedDb, options as ScopedDbOptions)
  try {
    await app.ready()
  } finally {
    await app.close()
  }
}

void t.test('bad options are refused at start, by name', async t => {
  for (const [option, value] of Object.entries({
    orm: 'mysql://localhost', name: '', commitOnTeardown: 'yes', sessionOptions: 7, begin: 'soon', isolationLevel: 'high', readOnly: 1, cancelOnAbort: null, acquireTimeout: 0, closeTimeout: 2 ** 31
  })) {
    await t.rejects(register({ [option]: value }), { code: 'FST_SCOPED_DB_INVALID_OPTION', message: new RegExp(`"${option}" takes .*, got `) }, option)
  }
  await t.rejects(register({ commitOnTearDown: true }), { code: 'FST_SCOPED_DB_UNKNOWN_OPTION', message: /"commitOnTearDown" \(did you mean "commitOnTeardown"\?\), only .*commitOnTeardown/ })
  for (const notCallable of [class {}, Object.freeze(class {}), Map]) {
    await t.rejects(register({ commitOnTeardown: notCallable }), { code: 'FST_SCOPED_DB_INVALID_OPTION' }, 'a class')
  }
  await t.rejects(register({ commitOnTeardown: Object.freeze(function () { return true }) }), { code: 'FST_SCOPED_DB_ORM_NOT_FOUND' }, 'a function is fine')
  await t.rejects(register({ commitOnTeardown: async () => true }), { code: 'FST_SCOPED_DB_INVALID_OPTION', message: /"commitOnTeardown" takes .* not async/ })
  await t.rejects(register({ sessionOptions: { flushMode: 'nonsense' } }), { code: 'FST_SCOPED_DB_INVALID_OPTION', message: /"sessionOptions\.flushMode" takes 'commit'/ })
  await t.rejects(register({ sessionOptions: { schemaa: 'x' } }), { code: 'FST_SCOPED_DB_UNKNOWN_OPTION', message: /"sessionOptions\.schemaa" \(did you mean "schema"\?\), only .*schema/ })
  for (const [misspelt, meant] of Object.entries({ COMMIT_ON_TEARDOWN: 'commitOnTeardown', 'map-errors': 'mapErrors', aquireTimout: 'acquireTimeout', readonly: 'readOnly', nam: 'name', begins: 'begin' })) {
    await t.rejects(register({ [misspelt]: true }), { code: 'FST_SCOPED_DB_UNKNOWN_OPTION', message: `"${misspelt}" (did you mean "${meant}"?), only ` })
  }
  for (const other of ['pool', 'retry', 'entities', '', '_', Symbol('name')]) {
    await t.rejects(register({ [other]: true }), { code: 'FST_SCOPED_DB_UNKNOWN_OPTION', message: /^(?!.*did you mean).*, only / }, String(other))
  }
  const nameless = Object.defineProperty(() => {}, 'name', { get () { throw new Error('a getter') } })
  await t.rejects(register({ readOnly: nameless }), { code: 'FST_SCOPED_DB_INVALID_OPTION', message: /got a function that cannot be shown/ })
  await t.rejects(register(() => null), { code: 'FST_SCOPED_DB_ORM_NOT_FOUND' }, 'null is no options')
  await t.rejects(register({ orm: {} }), { code: 'FST_SCOPED_DB_INVALID_OPTION', message: /"orm" takes .* `driver`/, cause: Error })
  await t.rejects(register({ sessionOptions: { useContext: true } }), { code: 'FST_SCOPED_DB_INVALID_OPTION', message: /useContext/ })
})

onEachDatabase('an ORM, or its options, and Fastify\'s own register options', {}, async (t, { database, orm }) => {
  for (const given of [orm, database.options]) {
    const app = Fastify()
    await app.register(scopedDb, { orm: given, name: 'one', prefix: '/api', logLevel: 'warn' } as ScopedDbOptions)
    app.get('/', async request => await request.db.count(Item).then(String))
    t.equal((await app.inject('/')).body, '0')
    t.equal(app.db.orm === orm, given === orm)
    await app.close()
  }
  t.equal(await orm.isConnected(), true)
})

onEachDatabase('registering twice', {}, async (t, { database }) => {
  const app = Fastify()
  await app.register(scopedDb, { orm: database.options })
  await t.rejects(async () => await app.register(scopedDb, { orm: database.options }), { code: 'FST_SCOPED_DB_ALREADY_REGISTERED', message: /"default"/ })
  await app.close()
})

onEachDatabase('a route\'s config.db is checked when the route is added', {}, async (t, { app }) => {
  const add = (db: unknown) => () => app.get(`/${Math.random()}`, { config: { db: db as never } }, async () => 'ok')
  t.throws(add({ begin: 'soon' }), { code: 'FST_SCOPED_DB_INVALID_OPTION', message: /"begin" in config\.db of GET \/0\..* takes/ })
  t.throws(add({ commitOnTeardwon: true }), { code: 'FST_SCOPED_DB_UNKNOWN_OPTION', message: /"commitOnTeardwon" in config\.db of GET \/0\.\d+ \(did you mean "commitOnTeardown"\?\), only / })
  t.throws(add({ acquireTimeout: 5 }), { code: 'FST_SCOPED_DB_UNKNOWN_OPTION', message: /acquireTimeout/ })
  t.throws(add(true), { code: 'FST_SCOPED_DB_INVALID_OPTION', message: /config\.db of GET .* takes false or a plain object, got true/ })
  t.throws(add([]), { code: 'FST_SCOPED_DB_INVALID_OPTION' })
  t.doesNotThrow(add({ begin: undefined }))
  t.throws(add({ isolationLevel: 'serializable' }), { code: 'FST_SCOPED_DB_INVALID_OPTION', message: /"isolationLevel" .* takes a commitOnTeardown/ }, 'there is no transaction')
  t.doesNotThrow(add({ isolationLevel: 'serializable', commitOnTeardown: true }))
})

onEachDatabase('routes override the plugin\'s options, in prefixes and encapsulated contexts too', {
  plugin: { commitOnTeardown: true, sessionOptions: { loggerContext: { from: 'plugin' } } }
}, async (t, { app, labels }) => {
  await app.register(async scope => {
    scope.addHook('onSend', async (request, reply) => { if (request.url === '/v1/late') reply.code(500) })
    scope.post('/default', async request => request.db.create(Item, { label: String(request.db.getLoggerContext()['from']) }))
    scope.post('/route', { config: { db: { commitOnTeardown: false, sessionOptions: { loggerContext: { from: 'route' } } } } }, async request => {
      request.db.create(Item, { label: String(request.db.getLoggerContext()['from']) })
      await request.db.flush()
      throw new Error('what was flushed stays')
    })
    scope.post('/late', async request => request.db.create(Item, { label: 'late' }))
  }, { prefix: '/v1' })
  t.equal((await app.inject({ method: 'POST', url: '/v1/default' })).statusCode, 200)
  t.match((await app.inject({ method: 'POST', url: '/v1/route' })).json(), { statusCode: 500, message: 'what was flushed stays' })
  t.equal((await app.inject({ method: 'POST', url: '/v1/late' })).statusCode, 500)
  t.same(await labels(), ['plugin', 'route'])
})

onEachDatabase('sessionOptions as a function of the request', {
  plugin: { sessionOptions: request => request === undefined ? {} : { schema: request.headers['x-tenant'] as string } }
}, async (t, { app }) => {
  app.get('/', async request => request.db.schema ?? 'none')
  app.get('/wrong', { config: { db: { sessionOptions: () => ({ clear: false }) as object } } }, async request => request.db.schema)
  t.equal((await app.inject({ url: '/', headers: { 'x-tenant': 'acme' } })).body, 'acme')
  t.match((await app.inject('/wrong')).json(), { code: 'FST_SCOPED_DB_INVALID_OPTION', message: /sessionOptions/ })
  await app.db.run(session => t.equal(session.schema, undefined))
})

onEachDatabase('an ORM whose database fails at once, and a decorator of another plugin', {}, async (t, { database, app }) => {
  const failure = new DriverException(new Error('no database'))
  await t.rejects(register({ orm: { ...database.options, extensions: [{ register () { throw failure } }] } }), failure)
  // eslint-disable-next-line no-throw-literal, @typescript-eslint/only-throw-error -- whatever MikroORM's extensions throw
  await t.rejects(register({ orm: { ...database.options, extensions: [{ register () { throw 'no error' } }] } }), { code: 'FST_SCOPED_DB_INVALID_OPTION', message: /no error$/ })
  const other = Fastify()
  other.decorateRequest('db', null as never)
  await t.rejects(async () => await other.register(scopedDb, { orm: database.options }), { code: 'FST_ERR_DEC_ALREADY_PRESENT' })
  await other.close()
  const another = Fastify()
  another.decorate('db', null as never)
  await t.rejects(async () => await another.register(scopedDb, { orm: database.options }), { code: 'FST_ERR_DEC_ALREADY_PRESENT' })
  await another.close()
  t.equal(db.orm, app.db.orm, 'nothing else is registered')
})

void t.test('MikroORM\'s config file', async t => {
  const { createDatabase } = await import('../support/databases.ts')
  const database = await createDatabase('sqlite')
  const folder = t.testdir({ empty: {}, src: {}, broken: { 'mikro-orm.config.js': 'this is not JavaScript' }, list: { 'mikro-orm.config.mjs': 'export default [1]' } })
  const back = process.cwd()
  t.teardown(async () => {
    process.chdir(back)
    delete process.env['MIKRO_ORM_CLI_CONFIG']
    await database.drop()
  })
  const { writeFile } = await import('node:fs/promises')
  const options = JSON.stringify(database.options.dbName)
  const sqlite = import.meta.resolve('@mikro-orm/sqlite')
  const source = `import { defineConfig } from '${sqlite}'\nimport { ItemSchema, PartSchema } from '${import.meta.resolve('../support/entities.ts')}'\n`
  const config = `defineConfig({ dbName: ${options}, entities: [ItemSchema, PartSchema] })`

  const count = async () => {
    const app = Fastify()
    try {
      await app.register(scopedDb)
      return await app.db.run(async session => await session.count(Item))
    } finally {
      await app.close()
    }
  }
  process.chdir(`${folder}/empty`)
  const { message } = await count().catch((error: Error) => error) as Error
  const places = ['', 'src/'].flatMap(folder => ['ts', 'mts', 'js', 'mjs'].map(ending => `${process.cwd()}/${folder}mikro-orm.config.${ending}`))
  t.match(message, `Looked at: ${places.join(', ')}. Pass register(scopedDb, { orm })`)

  await writeFile(`${folder}/src/mikro-orm.config.mts`, `${source}export default ${config}\n`)
  process.chdir(folder)
  t.equal(await count(), 0, 'in src/')

  await writeFile(`${folder}/mikro-orm.config.ts`, `${source}export default async () => ${config}\n`)
  t.equal(await count(), 0, 'in the working directory, as a function')
  process.env['MIKRO_ORM_CLI_CONFIG'] = ''
  t.equal(await count(), 0, 'an empty name names nothing')

  process.env['MIKRO_ORM_CLI_CONFIG'] = `${folder}/src/mikro-orm.config.mts`
  process.chdir(`${folder}/empty`)
  t.equal(await count(), 0, 'named by MIKRO_ORM_CLI_CONFIG')

  process.env['MIKRO_ORM_CLI_CONFIG'] = `${folder}/nowhere.ts`
  await t.rejects(count(), { code: 'FST_SCOPED_DB_ORM_NOT_FOUND', message: /nowhere\.ts/ })
  process.env['MIKRO_ORM_CLI_CONFIG'] = `${folder}/broken/mikro-orm.config.js`
  await t.rejects(count(), { code: 'FST_SCOPED_DB_CONFIG_FILE', message: /broken/, cause: { name: 'SyntaxError' } })
  process.env['MIKRO_ORM_CLI_CONFIG'] = `${folder}/list/mikro-orm.config.mjs`
  await t.rejects(count(), { code: 'FST_SCOPED_DB_CONFIG_FILE', message: /not MikroORM options/ })
  for (const none of ['null', '1']) {
    await writeFile(`${folder}/${none}.mjs`, `export default ${none}\n`)
    process.env['MIKRO_ORM_CLI_CONFIG'] = `${folder}/${none}.mjs`
    await t.rejects(count(), { code: 'FST_SCOPED_DB_CONFIG_FILE', message: /not MikroORM options/ }, none)
  }
  await writeFile(`${folder}/throws.mjs`, 'export default () => { throw "no error object" }\n')
  process.env['MIKRO_ORM_CLI_CONFIG'] = `${folder}/throws.mjs`
  await t.rejects(count(), { code: 'FST_SCOPED_DB_CONFIG_FILE', message: /no error object/ })
})

void t.test('the plugin says what it is', async t => {
  const meta = (scopedDb as unknown as Record<symbol, { name: string, fastify: string }>)[Symbol.for('plugin-meta')]
  t.match(meta, { name: 'fastify-scoped-db', fastify: '5.x' })
})
