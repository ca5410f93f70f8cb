import { ConnectionException, DeadlockException, ForeignKeyConstraintViolationException, InvalidFieldNameException, LockWaitTimeoutException, NotNullConstraintViolationException, SyntaxErrorException, TableNotFoundException, UniqueConstraintViolationException } from '@mikro-orm/core'
import { DatabaseSync } from 'node:sqlite'
import t from 'tap'
import { isDatabaseError, tellsOfDatabase } from '../../lib/session/database-error.ts'
import { driverError } from '../../lib/drivers/errors.ts'
import { ItemSchema as Item, PartSchema as Part } from '../support/entities.ts'
import { onEachDatabase, type Stage } from '../support/on-each-database.ts'

const automatic = { plugin: { commitOnTeardown: true } }
const SECRET = /secret|item|label|part\b|insert|select|10\.0\.0\.1|constraint fail/i

const shaped = (name: string, message: string, more: object) => Object.assign(new Error(message), { name, ...more })

/** What drivers add to their errors, and a response schema could ask for. */
const PROPERTIES = [
  'sql', 'sqlMessage', 'query', 'parameters', 'detail', 'hint', 'where', 'internalQuery', 'schema', 'table', 'column', 'constraint',
  'dataType', 'errmsg', 'keyValue', 'address', 'hostname', 'serverName', 'procName', 'cause', 'errors'
]

/** What drivers throw, in the shape of their own classes, where there is no server to make them. */
const RAW: Record<string, Error> = {
  pg: shaped('error', 'duplicate key value violates unique constraint "secret_key"', { severity: 'ERROR', code: '23505', detail: 'Key (secret)=(secret) already exists.', schema: 'secret', table: 'item', constraint: 'secret_key', routine: '_bt_check_unique' }),
  'pg-login': shaped('error', 'password authentication failed for user "secret"', { severity: 'FATAL', code: '28P01' }),
  mariadb: shaped('SqlError', "(conn:5, no: 1062, SQLState: 23000) Duplicate entry 'secret' for key 'secret'\nsql: insert into secret", { sqlMessage: 'secret', sql: 'insert', fatal: false, errno: 1062, sqlState: '23000', code: 'ER_DUP_ENTRY' }),
  tedious: shaped('Error', "Violation of UNIQUE KEY constraint 'secret'.", { code: 'EREQUEST', number: 2627, state: 1, class: 14, serverName: 'secret', procName: '', lineNumber: 1 }),
  'tedious-login': shaped('Error', "Login failed for user 'secret'.", { code: 'ELOGIN' }),
  'tedious-instance': shaped('Error', 'Failed to get response from SQL Server Browser on 10.0.0.1', { code: 'EINSTLOOKUP' }),
  'tedious-address': shaped('Error', 'Failed to connect to 10.0.0.1:1433 - connect ECONNREFUSED 10.0.0.1:1433', { code: 'ESOCKET' }),
  oracledb: shaped('Error', 'ORA-00001: unique constraint (SECRET.SECRET_KEY) violated', { code: 'ORA-00001', errorNum: 1, offset: 0 }),
  libsql: shaped('LibsqlError', 'SQLITE_CONSTRAINT: UNIQUE constraint failed: secret.secret', { code: 'SQLITE_CONSTRAINT' }),
  mysql2: shaped('Error', "Access denied for user 'secret'@'10.0.0.1'", { code: 'ER_ACCESS_DENIED_ERROR', errno: 1045, sqlState: '28000' }),
  'mysql2-address': shaped('Error', 'connect ECONNREFUSED 10.0.0.1:3306', { code: 'ECONNREFUSED', fatal: true, address: '10.0.0.1' }),
  'mysql2-lost': shaped('Error', 'Connection lost: the server at 10.0.0.1 closed the connection.', { code: 'PROTOCOL_CONNECTION_LOST', fatal: true }),
  'mysql2-full': shaped('Error', "Too many connections of 'secret'", { code: undefined, errno: 1040, fatal: true }),
  'mysql2-tls': shaped('Error', "Host: secret. is not in the cert's altnames", { code: 'ERR_TLS_CERT_ALTNAME_INVALID', fatal: true }),
  mongo: shaped('MongoServerError', 'E11000 duplicate key error collection: secret', { code: 11000, keyValue: { secret: 1 } }),
  all: shaped('SqliteError', 'secret', Object.fromEntries(PROPERTIES.map(name => [name, 'secret'])))
}

onEachDatabase('errors that drivers throw by themselves', { plugin: {} }, async (t, { app }) => {
  const properties = Object.fromEntries(['message', ...PROPERTIES].map(name => [name, {}]))
  const schema = { response: { 500: { type: 'object', additionalProperties: true, properties } } }
  for (const [name, error] of Object.entries(RAW)) {
    app.get(`/${name}`, { config: { db: false } }, async () => { throw error })
    app.get(`/${name}/schema`, { schema }, async () => { throw error })
    app.get(`/${name}/repeated`, async () => { throw new Error(`could not save: ${error.message}`, { cause: new AggregateError([error, error]) }) })
    app.get(`/${name}/wrapped`, async () => { throw Object.assign(new Error('try again', { cause: error }), { statusCode: 409 }) })
    t.ok(isDatabaseError(error), name)
  }
  for (const name of Object.keys(RAW)) {
    for (const url of [`/${name}`, `/${name}/schema`, `/${name}/repeated`, `/${name}/wrapped`]) {
      const response = await app.inject(url)
      t.equal(response.statusCode, url.endsWith('/wrapped') ? 409 : 500, url)
      t.notMatch(response.body + JSON.stringify(response.headers), SECRET, url)
    }
    t.match((await app.inject(`/${name}/wrapped`)).json(), { statusCode: 409, message: 'try again' })
  }
})

/** What an application may say of its own errors. */
const CART = shaped('Error', 'Your cart is empty', { statusCode: 400, severity: 'low' })
const OWN: Record<string, Error> = {
  severity: CART,
  'severity-code': shaped('Error', 'Your cart is empty', { severity: 'low', code: 'CART_EMPTY' }),
  'severity-long-code': shaped('Error', 'Your cart is empty', { severity: 'low', code: 'EMPTYCART' }),
  'severity-own-number': shaped('Error', 'Your cart is empty', { severity: 'low', code: 10042 }),
  'severity-number': shaped('Error', 'Your cart is empty', { severity: 3, code: '23505' }),
  fatal: shaped('Error', 'Your cart is empty', { fatal: false }),
  'fatal-code': shaped('Error', 'Your cart is empty', { fatal: true, code: 'CART_EMPTY' }),
  'fatal-other-code': shaped('Error', 'Your cart is empty', { fatal: true, code: 'EMPTY_CART' }),
  'fatal-word': shaped('Error', 'Your cart is empty', { fatal: 'no', errno: 1 }),
  'order-number': shaped('Error', 'Your order ORA-1 is empty', {}),
  'sql-state': shaped('Error', 'Your cart is empty', { sqlState: undefined }),
  system: shaped('Error', 'no such file', { code: 'ENOENT', errno: -2 })
}

void t.test('errors of the application that only look a little like a driver\'s', async t => {
  for (const [name, error] of Object.entries(OWN)) t.notOk(isDatabaseError(error), name)
})

onEachDatabase('they keep their message', { plugin: {}, kinds: ['sqlite'] }, async (t, { app }) => {
  app.get('/', async () => { throw CART })
  t.match((await app.inject('/')).json(), { statusCode: 400, message: 'Your cart is empty' })
})

void t.test('node:sqlite', async t => {
  try {
    new DatabaseSync(':memory:').exec('select * from secret')
  } catch (error) {
    t.ok(isDatabaseError(error))
  }
  t.notOk(isDatabaseError(new Error('not of a database')))
})

onEachDatabase('an error reply whose onSend hook fails in the database', automatic, async (t, { app, logs, orm }) => {
  app.addHook('onSend', async (_request, reply) => { if (reply.statusCode >= 400) await orm.em.fork().execute('select secret from secret_table') })
  app.get('/', async () => { throw new Error('first') })
  const response = await app.inject('/')
  t.equal(response.statusCode, 500)
  t.notMatch(response.body, SECRET)
  t.match(response.json(), { message: 'A database error occurred' })
  t.match(JSON.stringify(logs), /secret/, 'the log has it')
  t.match(JSON.stringify(logs), /an error reply failed/)
})

onEachDatabase('an error reply with a header that cannot be sent, whose onSend hook fails in the database', automatic, async (t, { app, orm }) => {
  app.addHook('onSend', async (_request, reply) => {
    reply.header('x-kept', 'until one is wrong').header('x-wrong', 'two\nlines')
    await orm.em.fork().execute('select secret from secret_table')
  })
  app.get('/', async () => { throw new Error('first') })
  const response = await app.inject('/')
  t.equal(response.statusCode, 500)
  t.notMatch(response.body + JSON.stringify(response.headers), SECRET)
  t.match(response.json(), { statusCode: 500, message: 'A database error occurred' })
  t.match(response.headers, { 'content-type': /^application\/json/ })
  t.notOk('x-wrong' in response.headers)
})

onEachDatabase('the headers of a body that is not sent, and one that cannot be sent, go with it', automatic, async (t, { app, orm }) => {
  app.addHook('onSend', async (_request, reply) => {
    reply.header('content-length', 3).header('content-encoding', 'gzip').header('transfer-encoding', 'gzip, chunked')
    await orm.em.fork().execute('select secret from secret_table')
  })
  app.get('/', async () => { throw new Error('first') })
  app.get('/wrong', async (_request, reply) => {
    reply.header('x-wrong', 'two\nlines')
    throw new Error('first')
  })
  for (const url of ['/', '/wrong']) {
    const response = await app.inject(url)
    t.match(response.json(), { statusCode: 500, message: 'A database error occurred' }, url)
    t.match(response.headers, { 'content-type': /^application\/json/ }, url)
    t.notMatch(response.headers, { 'content-length': '3' }, url)
    t.notMatch(response.headers, { 'transfer-encoding': /gzip/ }, url)
    t.notOk('content-encoding' in response.headers, url)
  }
})

onEachDatabase('an error handler can change the message of what another one has passed on', automatic, async (t, { app }) => {
  const seen: string[] = []
  app.setErrorHandler((error: Error, _request, reply) => {
    seen.push(error.message)
    error.message = 'another'
    return reply.send(error)
  })
  await app.register(async child => {
    child.setErrorHandler((error, _request, reply) => reply.send(error))
    child.get('/', async request => await request.db.execute('select secret from secret_table'))
  })
  t.match((await app.inject('/')).json(), { statusCode: 500, message: 'A database error occurred' })
  t.same(seen, ['A database error occurred'])
})

onEachDatabase('an error reply whose onSend hook fails for a reason of its own', automatic, async (t, { app }) => {
  app.addHook('onSend', async (_request, reply) => { if (reply.statusCode >= 400) throw new Error('second') })
  app.get('/', async () => { throw new Error('first') })
  t.match((await app.inject('/')).json(), { statusCode: 500, message: 'second' })
})

onEachDatabase('an error reply whose head was sent by hand before its onSend hook fails', automatic, async (t, { app, orm }) => {
  app.addHook('onSend', async (_request, reply) => {
    reply.raw.writeHead(500)
    reply.raw.flushHeaders()
    await orm.em.fork().execute('select secret from secret_table')
  })
  app.get('/', async () => { throw new Error('first') })
  const body = await app.inject('/').then(response => response.body, () => '')
  t.notMatch(body, SECRET)
})

void t.test('what is thrown and is no error stays what it is', async t => {
  for (const thrown of ['a text', undefined, null]) {
    t.equal(driverError(thrown), thrown)
    t.notOk(tellsOfDatabase(thrown))
  }
})

void t.test('messages that repeat those of their causes', async t => {
  const { pg } = RAW
  const circular = new Error('circular')
  circular.cause = circular
  const silent = shaped('SqliteError', '', {})
  t.notOk(tellsOfDatabase('no error'))
  t.notOk(tellsOfDatabase(circular))
  t.notOk(tellsOfDatabase(new Error('wrapped', { cause: silent })))
  t.notOk(tellsOfDatabase(new Error('wrapped', { cause: pg })))
  t.notOk(tellsOfDatabase(Object.assign(new Error('validation'), { errors: 'none', cause: 'none' })))
  const short = shaped('SqliteError', 'stop', {})
  t.notOk(tellsOfDatabase(new Error('nonstop', { cause: short })))
  t.notOk(tellsOfDatabase(new Error('please stop it', { cause: short })), 'an everyday word repeats nothing')
  t.notOk(tellsOfDatabase(new Error('it failed: ', { cause: silent })))
  t.ok(tellsOfDatabase(new Error('stop', { cause: short })))
  t.ok(tellsOfDatabase(new Error('it failed: stop', { cause: short })))
  t.ok(tellsOfDatabase(new Error('"10 letters"!', { cause: shaped('SqliteError', '10 letters', {}) })))
  t.ok(tellsOfDatabase(new Error('"not so fast"!', { cause: shaped('SqliteError', 'not so fast', {}) })))
  t.ok(tellsOfDatabase(new Error(`deep: ${pg?.message}`, { cause: new Error('between', { cause: new AggregateError([circular, pg]) }) })))
})

/** The class that MikroORM makes of each error of a statement. */
async function addRoutes ({ app, kind, orm }: Stage): Promise<Record<string, abstract new (...args: never[]) => Error>> {
  const mysql = kind === 'mysql'
  const raw = (url: string, sql: string) => app.post(url, async request => await request.db.execute(sql))
  await orm.driver.execute("insert into item (label, amount) values ('secret', 1)")
  app.post('/unique', async request => { request.db.create(Item, { label: 'secret' }) })
  app.post('/foreign-key', async request => { request.db.create(Part, { item: 4711 as never, name: 'secret' }) })
  app.post('/nested', async request => await request.db.transactional(async em => { em.create(Item, { label: 'secret' }) }))
  app.post('/run', async () => await app.db.run(async em => { em.create(Item, { label: 'secret' }) }))
  raw('/not-null', 'insert into item (label, amount) values (null, 1)')
  raw('/syntax', "selekt 'secret'")
  raw('/no-table', 'select 1 from secret_table')
  raw('/no-column', 'select secret_column from item')
  if (mysql) {
    for (const [url, errno] of [['/deadlock', 1213], ['/lock-wait', 1205], ['/access', 1045], ['/database', 1049]] as const) {
      raw(url, `signal sqlstate '45000' set mysql_errno = ${errno}, message_text = 'secret'`)
    }
    raw('/too-long', `insert into item (label, amount) values ('${'secret'.repeat(99)}', 1)`)
    raw('/range', "insert into item (label, amount) values ('secret too', 99999999999)")
    raw('/killed', 'kill connection_id() /* secret */')
  }
  return {
    '/unique': UniqueConstraintViolationException,
    '/foreign-key': ForeignKeyConstraintViolationException,
    '/nested': UniqueConstraintViolationException,
    '/run': UniqueConstraintViolationException,
    '/not-null': NotNullConstraintViolationException,
    '/syntax': SyntaxErrorException,
    '/no-table': TableNotFoundException,
    '/no-column': InvalidFieldNameException,
    ...mysql ? { '/deadlock': DeadlockException, '/lock-wait': LockWaitTimeoutException, '/access': ConnectionException, '/database': ConnectionException, '/too-long': Error, '/range': Error, '/killed': Error } : {}
  }
}

for (const [handler, passesOn] of Object.entries({ none: false, sends: true, throws: true })) {
  onEachDatabase(`the class of every error, and nothing in the reply; error handler: ${handler}`, automatic, async (t, stage) => {
    let seen: unknown
    if (handler === 'sends') stage.app.setErrorHandler((error, _request, reply) => { seen = error; return reply.send(error) })
    if (handler === 'throws') stage.app.setErrorHandler(async error => { seen = error; throw error })
    for (const [url, Class] of Object.entries(await addRoutes(stage))) {
      const response = await stage.app.inject({ method: 'POST', url })
      t.equal(response.statusCode, 500, url)
      t.notMatch(response.body + JSON.stringify(response.headers), SECRET, url)
      if (passesOn) t.ok(seen instanceof Class, `${url}: ${(seen as Error).name}`)
    }
  })
}
