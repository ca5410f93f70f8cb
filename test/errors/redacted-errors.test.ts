import { UniqueConstraintViolationException } from '@mikro-orm/core'
import type { FastifyRequest } from 'fastify'
import { ItemSchema as Item, PartSchema as Part } from '../support/entities.ts'
import { onEachDatabase, type Stage } from '../support/on-each-database.ts'

const automatic = { plugin: { commitOnTeardown: true } }
const SECRET = 'secret-value'

/** A route for each kind of error that a database makes. */
function addFailingRoutes ({ app }: Stage): string[] {
  app.post('/unique', async request => {
    request.db.create(Item, { label: SECRET })
    await request.db.flush()
    await request.db.insert(Item, { label: SECRET, amount: 0 })
  })
  app.post('/foreign-key', async request => request.db.create(Part, { item: 4711 as never, name: SECRET }))
  app.post('/not-null', async request => await request.db.getConnection().execute(`insert into item (label) values (null) -- ${SECRET}`))
  app.post('/syntax', async request => await request.db.getConnection().execute(`selekt '${SECRET}'`))
  app.post('/no-table', async request => await request.db.getConnection().execute(`select '${SECRET}' from secret_table`))
  app.post('/no-column', async request => await request.db.getConnection().execute('select secret_column from item'))
  app.post('/kysely', async request => {
    const em = request.db
    await em.getKysely<{ secret_table: object }>().selectFrom('secret_table').selectAll().execute()
  })
  return ['/unique', '/foreign-key', '/not-null', '/syntax', '/no-table', '/no-column', '/kysely']
}

/** What the databases say of these errors themselves. */
const ITS_WORDS = /secret|item|label|selekt|foreign key/i

const LEAKS = /secret|item|label|part|insert|select|selekt|constraint fail/i

onEachDatabase('replies of the default error handler tell nothing of the database, and the log tells all', automatic, async (t, stage) => {
  const urls = addFailingRoutes(stage)
  for (const url of urls) {
    const response = await stage.app.inject({ method: 'POST', url })
    t.equal(response.statusCode, 500, url)
    t.notMatch(response.body, LEAKS, url)
    t.match(response.json(), { message: 'A database error occurred', error: 'Internal Server Error', code: /./ })
    t.match(JSON.stringify(stage.logs.splice(0)), ITS_WORDS, `${url} is in the log`)
  }
})

onEachDatabase('no reply has what MikroORM prints of an entity, and of those that it refers to', automatic, async (t, { app, logs }) => {
  const create = async (request: FastifyRequest) => {
    request.db.create(Part, { item: request.db.create(Item, { label: SECRET }) } as never)
    await request.db.flush()
  }
  app.post('/as-it-is', create)
  app.post('/wrapped', async request => await create(request).catch((error: Error) => { throw new Error(`It failed: ${error.message}`, { cause: error }) }))
  app.post('/told', async request => await create(request).catch((error: Error) => { throw new Error('It failed', { cause: error }) }))
  for (const [url, message] of [['/as-it-is', "Value for Part.name is required, 'undefined' found"], ['/wrapped', "It failed: Value for Part.name is required, 'undefined' found"], ['/told', 'It failed']] as const) {
    const response = await app.inject({ method: 'POST', url })
    t.match(response.json(), { statusCode: 500, message })
    t.notMatch(response.body, SECRET, url)
    t.match(JSON.stringify(logs.splice(0)), SECRET, `${url} is in the log`)
  }
})

onEachDatabase('an error handler gets the error itself, and passing it on is safe', automatic, async (t, stage) => {
  const seen: Error[] = []
  stage.app.setErrorHandler((error: Error, _request, reply) => {
    seen.push(error)
    return reply.send(error)
  })
  for (const url of addFailingRoutes(stage)) {
    const response = await stage.app.inject({ method: 'POST', url })
    t.notMatch(response.body, LEAKS, url)
    t.match(seen.at(-1)?.message, ITS_WORDS, `${url}: the handler sees the message`)
  }
  t.ok(seen[0] instanceof UniqueConstraintViolationException)
})

onEachDatabase('error handlers in nested contexts, throwing or not, still see class and code', automatic, async (t, stage) => {
  const seen: { message: string, code?: string }[] = []
  stage.app.setErrorHandler((error: Error, _request, reply) => {
    seen.push(error)
    t.ok(error instanceof UniqueConstraintViolationException)
    return reply.code(409).send({ conflict: true, detail: error.message })
  })
  await stage.app.register(async inner => {
    inner.setErrorHandler(async (error: Error) => {
      seen.push(error)
      throw error
    })
    addFailingRoutes({ ...stage, app: inner })
  })
  const response = await stage.app.inject({ method: 'POST', url: '/unique' })
  t.equal(response.statusCode, 409)
  t.equal(seen.length, 2)
  t.equal(seen[0]?.code, seen[1]?.code)
  t.notMatch(response.json().detail, LEAKS, 'the error that is passed on has a safe message')
})

onEachDatabase('an error handler whose own statement fails', automatic, async (t, stage) => {
  stage.app.setErrorHandler(async request => {
    await stage.orm.em.fork().execute("insert into secret_table values ('secret')")
    return request
  })
  stage.app.post('/', async () => { throw new Error('first') })
  const response = await stage.app.inject({ method: 'POST', url: '/' })
  t.equal(response.statusCode, 500)
  t.notMatch(response.body, LEAKS)
})

onEachDatabase('a response schema for errors', automatic, async (t, { app }) => {
  app.post('/', { schema: { response: { 500: { type: 'object', properties: { message: { type: 'string' }, code: { type: 'string' }, sqlMessage: { type: 'string' }, sql: { type: 'string' } } } } } }, async request =>
    await request.db.getConnection().execute('select * from secret_table'))
  const response = await app.inject({ method: 'POST', url: '/' })
  t.strictSame(Object.keys(response.json()), ['message', 'code'])
  t.match(response.json(), { message: 'A database error occurred', code: /./ })
})

onEachDatabase('raw driver errors outside any scope', { plugin: { commitOnTeardown: true }, orm: { allowGlobalContext: true } }, async (t, { app, orm }) => {
  app.get('/', { config: { db: false } }, async () => await orm.em.getKysely<{ secret_table: object }>().selectFrom('secret_table').selectAll().execute())
  const response = await app.inject('/')
  t.equal(response.statusCode, 500)
  t.notMatch(response.body, LEAKS)
})

onEachDatabase('errors that are not the database\'s keep their message', automatic, async (t, { app }) => {
  app.get('/', async () => { throw Object.assign(new Error('tell me'), { statusCode: 418 }) })
  app.get('/none', { config: { db: false } }, async () => { throw new Error('without a scope') })
  // eslint-disable-next-line no-throw-literal, @typescript-eslint/only-throw-error -- Fastify has to bear it, and so has its hook
  app.get('/falsy', async () => { throw undefined })
  t.match((await app.inject('/')).json(), { statusCode: 418, message: 'tell me' })
  t.match((await app.inject('/none')).json(), { message: 'without a scope' })
  t.equal((await app.inject('/falsy')).statusCode, 500)
})
