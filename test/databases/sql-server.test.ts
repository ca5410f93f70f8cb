/** SQL Server, as far as that goes without one: what is sent, in which order, and what comes of errors. */
import { LockMode } from '@mikro-orm/core'
import type { EntityManager } from '@mikro-orm/mssql'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { errorKindOfDriver, isRefusal } from '../../lib/drivers/errors.ts'
import { MSSQL } from '../../lib/drivers/mssql.ts'
import { statementKind } from '../../lib/drivers/sql/statements.ts'
import scopedDb from '../../plugin.ts'
import { ItemSchema as Item, PartSchema as Part } from '../support/entities.ts'
import { connectSqlServer, sqlServerError, type Answer } from '../support/sql-server.ts'

/** An application on a SQL Server that gives each row the next id. */
async function start (t: Test, answer: Answer = () => undefined) {
  let id = 0
  const { orm, sent } = await connectSqlServer({ entities: [Item, Part] }, sql => {
    const given = answer(sql)
    if (given !== undefined) return given
    if (sql.startsWith('insert')) return [{ id: ++id }]
    if (sql.includes('current_transaction_id')) return [{ id: '7' }]
    if (sql.startsWith('select')) return []
    return sql.startsWith('update') ? [{}] : undefined
  })
  const app = Fastify()
  await app.register(scopedDb, { orm, commitOnTeardown: true, mapErrors: true })
  t.teardown(async () => {
    await app.close()
    await orm.close(true)
  })
  return { app, orm, sent, em: (session: unknown) => session as EntityManager }
}

const short = (sent: string[]) => sent.splice(0).map(sql => /^(?:[A-Z]+(?: \w+)?|\w+)/.exec(sql)?.[0])

void t.test('units of work', async t => {
  const { app, em, sent } = await start(t)
  app.post<{ Params: { status: string } }>('/:status', async ({ db: session, params: { status } }, reply) => {
    session.create(Item, { label: status })
    return await reply.code(Number(status)).send('ok')
  })
  app.get('/', async ({ db: session }) => await session.find(Item, {}))
  app.post('/nested', async ({ db: session }) => {
    await session.transactional(async () => { session.create(Item, { label: 'released' }) })
    await session.transactional(async () => {
      session.create(Item, { label: 'undone' })
      await session.flush()
      throw new Error('declined')
    }).catch(() => {})
    return 'ok'
  })
  app.get('/lock', async ({ db: session }) => await session.find(Item, { label: 'a' }, { lockMode: LockMode.PESSIMISTIC_WRITE }))
  app.post('/own-id', async ({ db: session }) => session.create(Item, { id: 5, label: 'a' }))
  app.get('/sequence', async ({ db: session }) => await em(session).execute('select next value for numbers'))
  const send = async (method: 'GET' | 'POST', url: string) => (await app.inject({ method, url })).statusCode
  t.equal(await send('POST', '/201'), 201)
  t.same(short(sent), ['BEGIN', 'insert', 'COMMIT'])
  t.equal(await send('POST', '/409'), 409)
  t.same(short(sent), [])
  t.equal(await send('GET', '/'), 200)
  t.same(short(sent), ['select'])
  t.equal(await send('POST', '/nested'), 200)
  t.match(short(sent), ['BEGIN', /^SAVE/, 'insert', /^SAVE/, 'insert', /^ROLLBACK trx/, 'COMMIT'])
  t.equal(await send('GET', '/lock'), 200)
  t.same(short(sent), ['BEGIN', 'select', 'COMMIT'], 'a lock is held until the outcome')
  t.equal(await send('POST', '/own-id'), 200)
  t.same(short(sent), ['BEGIN', 'select', 'set', 'select', 'COMMIT'], 'several statements are followed by a look whether the transaction is still there')
  t.equal(await send('GET', '/sequence'), 200)
  t.same(short(sent), ['BEGIN', 'select', 'COMMIT'])
  t.equal(app.db.openScopes, 0)
})

void t.test('what ends a transaction behind its back leaves only a rollback', async t => {
  let ids: (string | null)[] = []
  const { app, em, sent } = await start(t, sql => sql.includes('current_transaction_id') ? [{ id: ids.shift() }] : undefined)
  app.post('/', async ({ db: session }) => {
    session.create(Item, { label: 'a' })
    await session.flush()
    await em(session).execute('exec procedure_that_commits')
    return 'ok'
  })
  for (const expected of [['7', '8'], ['7', null], [null, null]]) {
    ids = [...expected]
    t.match((await app.inject({ method: 'POST', url: '/' })).json(), { statusCode: 500, code: 'FST_SCOPED_DB_ROLLBACK_ONLY' })
    t.same(short(sent).filter(what => what !== 'select'), ['BEGIN', 'insert', 'exec', 'ROLLBACK'])
  }
})

void t.test('errors', async t => {
  let error: Error | undefined
  let at = 'insert'
  const { app, sent } = await start(t, sql => sql.startsWith(at) ? error : undefined)
  app.post('/', async ({ db: session }) => session.create(Item, { label: 'a' }))
  const answered = async () => {
    const { statusCode, body } = await app.inject({ method: 'POST', url: '/' })
    t.notMatch(body, /secret/)
    return statusCode
  }
  for (const [number, message, status] of [
    [2627, "Violation of UNIQUE KEY constraint 'secret'.", 409],
    [2601, "Cannot insert duplicate key row in object 'secret'.", 409],
    [547, 'The INSERT statement conflicted with the FOREIGN KEY constraint "secret".', 409],
    [547, 'The INSERT statement conflicted with the CHECK constraint "secret".', 422],
    [515, "Cannot insert the value NULL into column 'secret'.", 422],
    [2628, "String or binary data would be truncated in table 'secret'.", 422],
    [1205, 'Transaction (Process ID 52) was deadlocked on secret resources.', 503],
    [1222, 'Lock request time out period exceeded.', 503],
    [3960, 'Snapshot isolation transaction aborted due to update conflict in secret.', 503],
    [229, "The INSERT permission was denied on the object 'secret'.", 500],
    [50000, 'secret', 500]
  ] as const) {
    error = sqlServerError(number, message)
    t.equal(await answered(), status, message)
    t.same([sent[0], sent.at(-1)], ['BEGIN', 'ROLLBACK'])
    sent.length = 0
  }
  at = 'COMMIT'
  error = sqlServerError(1205, 'Transaction (Process ID 52) was deadlocked on secret resources.')
  t.equal(await answered(), 503)
  error = Object.assign(new Error('Connection closed before request completed.'), { code: 'ECLOSE' })
  t.match((await app.inject({ method: 'POST', url: '/' })).json(), { code: 'FST_SCOPED_DB_COMMIT_UNKNOWN' })
  t.equal(app.db.openScopes, 0)
})

void t.test('kinds of errors, by the codes of tedious', async t => {
  const kind = (code: string, message = 'secret') => errorKindOfDriver(Object.assign(new Error(message), { code }))
  t.equal(kind('ETIMEOUT', 'Timeout: Request failed to complete in 15000ms'), 'interrupted')
  t.equal(kind('ETIMEOUT', 'Failed to connect to 10.0.0.1:1433 in 15000ms'), 'connection')
  t.equal(kind('ETIMEOUT', 'queryA ETIMEOUT example.org'), undefined, "Node's resolver")
  t.equal(kind('ECANCEL', 'Canceled.'), 'interrupted')
  for (const code of ['ESOCKET', 'ECLOSE', 'EINVALIDSTATE', 'EINSTLOOKUP']) t.equal(kind(code), 'connection', code)
  t.equal(kind('ELOGIN', "Login failed for user 'secret'."), 'access')
  t.equal(isRefusal(sqlServerError(1205, '')), true)
  t.equal(isRefusal(sqlServerError(8115, '')), false)
  const failed = Object.assign(sqlServerError(3930, 'The current transaction cannot be committed'), { name: 'Error' })
  t.equal(MSSQL.failsTransaction(failed), true)
})

void t.test('kinds of statements', async t => {
  const kind = (sql: string) => statementKind(sql, MSSQL.functions)
  for (const sql of [
    'select top (10) [i].* from [item] as [i] where [i].[label] = N\'a\' order by [i].[id] offset (0) rows fetch next (10) rows only',
    'select count_big(*), isnull(max([id]), 0), dateadd(day, 1, getutcdate()) from [item] with (nolock)',
    'with [x] as (select 1 as [y]) select * from [x]'
  ]) t.equal(kind(sql), 'read', sql)
  for (const sql of [
    'select [i].* from [item] as [i] with (updlock) where [i].[id] = 1', 'select * from [item] with (xlock, rowlock)', 'select * from [item] (holdlock)',
    'select next value for [numbers]', 'select * into [#copy] from [item]', 'select [dbo].[writes](1)', "select * from openrowset('x', 'y')"
  ]) t.equal(kind(sql), 'doubtful', sql)
  for (const sql of ['merge into [item] using [x] on 1 = 0 when not matched then insert default values output inserted.[id];', 'exec [procedure]', 'set identity_insert [item] on', 'insert into [item] ([label]) output inserted.[id] values (1)']) {
    t.equal(kind(sql), 'write', sql)
  }
})
