/** mapErrors: what errors of the database mean for HTTP, without a word of the database. */
import {
  CheckConstraintViolationException, DriverException, LockMode, NotFoundError, OptimisticLockError, UniqueConstraintViolationException, ValidationError
} from '@mikro-orm/core'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { answerTo } from '../../lib/fastify/http-errors.ts'
import { ItemSchema as Item, PartSchema as Part } from '../support/entities.ts'
import { onEachDatabase, type Stage } from '../support/on-each-database.ts'
import { Gate } from '../support/signals.ts'
import { createDatabase, servers } from '../support/databases.ts'
import { proxied } from '../support/proxied.ts'

const mapped = { plugin: { commitOnTeardown: true, mapErrors: true } }
const SECRET = 'secret-value'
const LEAKS = /secret|item|label|part|insert|select|checked|amount|constraint|4711/i

interface Answer {
  readonly status: number
  readonly code: string
  readonly message: string
  readonly retryAfter?: string
}

const CONFLICT = { status: 409, code: 'FST_SCOPED_DB_CONFLICT', message: 'This conflicts with what is there already' }
const INVALID = { status: 422, code: 'FST_SCOPED_DB_INVALID_DATA', message: 'Something is missing, or is not allowed' }
const BUSY = { status: 503, code: 'FST_SCOPED_DB_BUSY', message: 'Somebody else is working on the same: try again in a moment', retryAfter: '1' }

/** A route for each kind of error that a database makes, and what a client is to be told of it. */
async function addFailingRoutes ({ app, database, orm, kind }: Stage): Promise<Record<string, Answer>> {
  await database.witness.driver.execute('create table checked (amount int check (amount > 0))')
  if (kind === 'sqlite') await orm.driver.execute('pragma foreign_keys = on')
  app.post('/unique', async request => {
    await request.db.insert(Item, { label: SECRET, amount: 0 })
    await request.db.insert(Item, { label: SECRET, amount: 0 })
  })
  app.post('/unique-in-the-last-flush', async (request, reply) => {
    await request.db.insert(Item, { label: SECRET, amount: 0 })
    request.db.create(Item, { label: SECRET })
    return await reply.code(201).send('text')
  })
  app.post('/raw', async request => {
    const insert = async () => await request.db.getKysely().insertInto('item' as never).values({ label: SECRET, amount: 0 }).execute()
    await insert()
    await insert()
  })
  app.post('/foreign-key', async request => request.db.create(Part, { item: 4711 as never, name: SECRET }))
  app.post('/not-null', async request => await request.db.getConnection().execute(`insert into item (label) values (null) -- ${SECRET}`))
  app.post('/missing', async request => request.db.create(Part, { item: request.db.create(Item, { label: SECRET }) } as never))
  app.post('/wrong-type', async () => { throw ValidationError.fromWrongPropertyType({ secret: SECRET }, 'amount', 'number', 'string', SECRET) })
  app.post('/check', async request => await request.db.getConnection().execute('insert into checked values (-4711)'))
  app.post('/not-found', async request => await request.db.findOneOrFail(Item, { label: SECRET }))
  app.post('/not-found-in-other-words', async request => await request.db.findOneOrFail(Item, { label: SECRET }, { failHandler: () => new NotFoundError('Your Secret not found') }))
  app.post('/not-found-otherwise', async request => await request.db.findOneOrFail(Item, { label: SECRET }, { failHandler: () => new NotFoundError(`no ${SECRET}`) }))
  app.post('/stale', async () => { throw OptimisticLockError.lockFailed('Item') })
  app.post('/lost-transaction', async request => {
    await request.db.insert(Item, { label: SECRET, amount: 0 })
    request.db.create(Item, { label: SECRET })
    await request.db.flush().catch(() => {})
    return 'text'
  })
  app.post('/deadlock', async () => { throw Object.assign(new Error(`Deadlock ${SECRET}`), { errno: 1213, sqlState: '40001', code: 'ER_LOCK_DEADLOCK' }) })
  app.post('/connection', async () => { throw Object.assign(new Error(`connect ECONNREFUSED ${SECRET}`), { code: 'ECONNREFUSED', fatal: true }) })
  return {
    '/unique': CONFLICT,
    '/unique-in-the-last-flush': CONFLICT,
    '/raw': CONFLICT,
    '/foreign-key': CONFLICT,
    '/not-null': INVALID,
    '/missing': INVALID,
    '/wrong-type': INVALID,
    '/check': INVALID,
    '/not-found': { status: 404, code: 'FST_SCOPED_DB_NOT_FOUND', message: 'Item not found' },
    '/not-found-in-other-words': { status: 404, code: 'FST_SCOPED_DB_NOT_FOUND', message: 'This was not found' },
    '/not-found-otherwise': { status: 404, code: 'FST_SCOPED_DB_NOT_FOUND', message: 'This was not found' },
    '/stale': { status: 409, code: 'FST_SCOPED_DB_STALE', message: 'Somebody else has changed this meanwhile' },
    '/lost-transaction': CONFLICT,
    '/deadlock': BUSY,
    '/connection': { status: 503, code: 'FST_SCOPED_DB_UNAVAILABLE', message: 'The database is out of reach: try again in a moment', retryAfter: '1' }
  }
}

async function answerOf ({ app }: Pick<Stage, 'app'>, url: string): Promise<{ answer: Answer, text: string }> {
  const response = await app.inject({ method: 'POST', url })
  const { code, message } = response.json()
  const { 'retry-after': retryAfter, ...headers } = response.headers
  return {
    answer: { status: response.statusCode, code, message, ...retryAfter !== undefined && { retryAfter: String(retryAfter) } },
    text: `${response.body}${JSON.stringify(headers)}`.replace('Item not found', '')
  }
}

onEachDatabase('each kind of error has its answer', mapped, async (t, stage) => {
  for (const [url, expected] of Object.entries(await addFailingRoutes(stage))) {
    const { answer, text } = await answerOf(stage, url)
    t.same(answer, expected, url)
    t.notMatch(text, LEAKS, url)
    const logged = stage.logs.splice(0).find(line => line['err'] !== undefined)
    t.equal(logged?.level, expected.status < 500 ? 30 : 50, `${url}: 4xx are no errors of the server`)
    t.match(JSON.stringify(logged), /secret|4711|item|constraint/i, 'the log has all of it')
  }
  t.same(await stage.labels(), [])
})

onEachDatabase('an error handler gets the error itself with its status, and can pass it on', mapped, async (t, stage) => {
  const seen: (FastifyError & { headers?: object })[] = []
  stage.app.setErrorHandler((error: FastifyError, _request, reply) => {
    seen.push(error)
    return reply.send(error)
  })
  await stage.app.register(async child => {
    child.setErrorHandler((error: FastifyError) => { throw error })
    child.post('/nested', async request => await request.db.findOneOrFail(Item, { label: SECRET }))
  })
  for (const [url, expected] of Object.entries(await addFailingRoutes(stage))) {
    const { answer, text } = await answerOf(stage, url)
    t.same(answer, expected, url)
    t.notMatch(text, LEAKS, url)
    t.equal(seen.at(-1)?.statusCode, expected.status)
  }
  t.ok(seen[0] instanceof UniqueConstraintViolationException)
  t.match(seen[0]?.message, /item|secret/)
  t.match((await answerOf(stage, '/nested')).answer, { status: 404, message: 'Item not found' })
  t.ok(seen.at(-1) instanceof NotFoundError)
})

onEachDatabase('a handler of errors answers for itself', mapped, async (t, stage) => {
  stage.app.setErrorHandler(async (error: FastifyError, _request, reply) => await reply.code(418).send({ code: error.code, message: 'own' }))
  stage.app.post('/', async request => await request.db.findOneOrFail(Item, { label: SECRET }))
  const frozen: Error = Object.freeze(new CheckConstraintViolationException(new Error(SECRET)))
  stage.app.post('/frozen', async () => { throw frozen })
  for (const url of ['/', '/frozen']) t.match((await answerOf(stage, url)).answer, { status: 418, message: 'own' })
})

onEachDatabase('an error that comes while an error reply is sent tells nothing either', mapped, async (t, stage) => {
  stage.app.addHook('onSend', async () => { throw new NotFoundError(`Item not found ({ label: '${SECRET}' })`) })
  stage.app.post('/', async () => { throw new Error('first') })
  t.notMatch((await answerOf(stage, '/')).text, LEAKS)
})

onEachDatabase('what is not mapped', mapped, async (t, stage) => {
  const { app } = stage
  app.post('/own-status', async () => { throw Object.assign(new DriverException(new Error(SECRET)), { statusCode: 418 }) })
  app.post('/syntax', async request => await request.db.getConnection().execute(`selekt '${SECRET}'`))
  app.post('/privilege', async () => { throw Object.assign(new Error(SECRET), { errno: 1142, sqlState: '42000' }) })
  app.post('/of-the-application', async () => { throw new Error('own', { cause: NotFoundError.findOneFailed('Item', { label: SECRET }) }) })
  app.post('/no-error-of-a-database', async () => { throw new Error('the application\'s') })
  // eslint-disable-next-line no-throw-literal, @typescript-eslint/only-throw-error -- whatever applications throw
  app.post('/no-error', async () => { throw { message: 'an object' } })
  app.post('/route', { config: { db: { mapErrors: false } } }, async request => await request.db.findOneOrFail(Item, { label: 'nobody' }))
  t.match(await answerOf(stage, '/own-status'), { answer: { status: 418, message: 'A database error occurred' } })
  t.match(await answerOf(stage, '/syntax'), { answer: { status: 500, message: 'A database error occurred' } })
  t.match(await answerOf(stage, '/privilege'), { answer: { status: 500, message: 'A database error occurred' } })
  t.match(await answerOf(stage, '/of-the-application'), { answer: { status: 500, message: 'own' } })
  t.match(await answerOf(stage, '/no-error-of-a-database'), { answer: { status: 500, message: 'the application\'s' } })
  t.match((await answerOf(stage, '/no-error')).answer, { status: 500 })
  t.match((await answerOf(stage, '/route')).answer, { status: 500 })
  for (const thrown of ['a text', undefined, null]) t.equal(answerTo(thrown), undefined)
})

onEachDatabase('one route maps its errors', { plugin: { commitOnTeardown: true } }, async (t, stage) => {
  const { app } = stage
  const find = async (request: FastifyRequest) => await request.db.findOneOrFail(Item, { label: SECRET })
  app.post('/mapped', { config: { db: { mapErrors: true } } }, find)
  app.post('/not', find)
  t.match((await answerOf(stage, '/mapped')).answer, { status: 404 })
  t.match((await answerOf(stage, '/not')).answer, { status: 500, message: /secret/ }, 'as MikroORM says it')
})

onEachDatabase('one database has its errors mapped, which maps those of all', { plugin: { commitOnTeardown: true } }, async (t, stage) => {
  const { app } = stage
  await stage.addDatabase('second', mapped.plugin)
  app.post('/', async request => await request.db.findOneOrFail(Item, { label: SECRET }))
  t.match((await answerOf(stage, '/')).answer, { status: 404 })
})

onEachDatabase('a lock that is not free, and a connection that is lost', { ...mapped, kinds: servers }, async (t, stage) => {
  const { app, database } = stage
  await database.witness.em.fork().insert(Item, { label: 'locked', amount: 0 })
  const [locked, go] = [new Gate(), new Gate()]
  const holder = database.witness.em.fork().transactional(async em => {
    await em.findOneOrFail(Item, { label: 'locked' }, { lockMode: LockMode.PESSIMISTIC_WRITE })
    locked.open()
    await go.opened
  })
  await locked.opened
  app.post('/', async request => {
    await request.db.execute(stage.dialect.shortLockWait)
    await request.db.findOneOrFail(Item, { label: 'locked' }, { lockMode: LockMode.PESSIMISTIC_WRITE })
  })
  t.same((await answerOf(stage, '/')).answer, BUSY)
  go.open()
  await holder
  const second = await createDatabase(stage.kind)
  const { app: other, orm, proxy } = await proxied(t, second, { commitOnTeardown: true, mapErrors: true })
  other.post('/', async () => await other.db.session.insert(Item, { label: SECRET, amount: 0 }))
  proxy.react = sql => /insert into/i.test(sql) ? 'cut before' : undefined
  const { answer, text } = await answerOf({ app: other }, '/')
  t.match(answer, { status: 503, code: 'FST_SCOPED_DB_UNAVAILABLE', retryAfter: '1' })
  t.notMatch(text, LEAKS)
  proxy.react = sql => /^commit/i.test(sql) ? 'cut after' : undefined
  t.match((await answerOf({ app: other }, '/')).answer, { status: 500, code: 'FST_SCOPED_DB_COMMIT_UNKNOWN' }, 'never a 503: the client would do it again')
  t.teardown(async () => {
    await other.close()
    await orm.close()
    await second.drop()
  })
})

onEachDatabase('the status is that of the answer wherever the error comes from', mapped, async (t, stage) => {
  const { app, orm } = stage
  const notFound = () => NotFoundError.findOneFailed('Item', { label: SECRET })
  app.addHook('onSend', async (request, reply) => {
    if (reply.statusCode >= 400 && request.url === '/again') throw notFound()
  })
  app.post('/again', async () => { throw new Error('first') })
  const passing = { errorHandler: (error: Error, _request: FastifyRequest, reply: FastifyReply) => { void reply.send(error) } }
  const frozen: Error = Object.freeze(notFound())
  app.post('/frozen', passing, async () => { throw frozen })
  const frozenAndBusy: Error = Object.freeze(Object.assign(new Error(SECRET), { errno: 1205, sqlState: 'HY000' }))
  app.post('/frozen-and-busy', passing, async (_request, reply) => {
    reply.code(201)
    throw frozenAndBusy
  })
  app.post('/fastify-status', async () => { throw Object.assign(new DriverException(new Error(SECRET)), { errno: 1062, status: 418 }) })
  app.post('/changed-since-it-was-read', async () => { throw Object.assign(new Error(SECRET), { errno: 1020, sqlState: 'HY000' }) })
  app.post('/refused-login', async () => { throw Object.assign(new Error(SECRET), { errno: 1045, sqlState: '28000', headers: { 'x-own': 'kept' } }) })
  app.post('/after-a-lost-transaction', async request => {
    await request.db.insert(Item, { label: SECRET, amount: 0 })
    request.db.create(Item, { label: SECRET })
    await request.db.flush().catch(() => {})
    await request.db.execute('select 1')
  })
  await app.register(async child => {
    child.setErrorHandler((_error, _request, reply) => { void reply.send({ code: 'OWN', message: 'of a handler that leaves the status alone' }) })
    child.post('/silent-at-commit', async request => { request.db.create(Item, { label: 'taken' }) })
  })
  await orm.em.fork().insert(Item, { label: 'taken', amount: 0 })
  for (const [url, expected] of Object.entries({
    '/again': { status: 404, code: 'FST_SCOPED_DB_NOT_FOUND', message: 'Item not found' },
    '/frozen': { status: 404, code: 'FST_SCOPED_DB_NOT_FOUND', message: 'Item not found' },
    '/frozen-and-busy': BUSY,
    '/fastify-status': { status: 418, code: undefined, message: 'A database error occurred' },
    '/changed-since-it-was-read': BUSY,
    '/refused-login': { status: 503, code: 'FST_SCOPED_DB_UNAVAILABLE', message: 'The database is out of reach: try again in a moment', retryAfter: '1' },
    '/after-a-lost-transaction': CONFLICT,
    '/silent-at-commit': { status: 409, code: 'OWN' }
  })) {
    const { answer, text } = await answerOf(stage, url)
    t.match(answer, expected, url)
    t.notMatch(text, LEAKS, url)
    t.equal(JSON.parse((await app.inject({ method: 'POST', url })).body).statusCode ?? expected.status, expected.status, url)
  }
  t.equal((await app.inject({ method: 'POST', url: '/refused-login' })).headers['x-own'], 'kept')
})
