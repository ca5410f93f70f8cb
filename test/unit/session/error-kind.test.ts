import {
  CheckConstraintViolationException, ConnectionException, DeadlockException, DriverException, ForeignKeyConstraintViolationException, LockMode,
  LockWaitTimeoutException, NotFoundError, NotNullConstraintViolationException, OptimisticLockError, SyntaxErrorException, UniqueConstraintViolationException
} from '@mikro-orm/core'
import { MySqlPlatform } from '@mikro-orm/mysql'
import { SqlitePlatform } from '@mikro-orm/sqlite'
import { DatabaseSync } from 'node:sqlite'
import t from 'tap'
import { driverError } from '../../../lib/drivers/errors.ts'
import { isTransient, errorKind } from '../../../lib/session/error-kind.ts'
import { CommitUnknownError, PartlyCommittedError, ReadOnlyError, RollbackOnlyError } from '../../../lib/errors/errors.ts'
import { servers } from '../../support/databases.ts'
import { ItemSchema as Item, PartSchema as Part } from '../../support/entities.ts'
import { onEachDatabase } from '../../support/on-each-database.ts'
import { Gate } from '../../support/signals.ts'

type Kind = ReturnType<typeof errorKind>

const TRANSIENT: Kind[] = ['deadlock', 'lock timeout', 'serialization', 'connection', 'read only']

const shaped = (message: string, more: object) => Object.assign(new Error(message), more)
const mysql = (errno: number, sqlState = 'HY000', message = 'secret') => shaped(message, { code: 'ER_OF_SOME_KIND', errno, sqlState, sqlMessage: message })
const pg = (code: string, severity = 'ERROR') => shaped('secret', { code, severity, routine: 'secret' })
const sqlite = (code: string, message = 'secret') => shaped(message, { name: 'SqliteError', code })
const lost = (code: string | undefined, message = 'secret') => driverError(shaped(message, { code, fatal: true }))

/** What the drivers throw, in their own shapes; a name for each that cannot be told apart by its code. */
const CASES: [kind: Kind, errors: Error[]][] = [
  ['unique', [mysql(1062, '23000'), mysql(1169), mysql(1557), mysql(1569), mysql(1586), pg('23505'), pg('23P01'), sqlite('SQLITE_CONSTRAINT_UNIQUE'), sqlite('SQLITE_CONSTRAINT_PRIMARYKEY'), sqlite('SQLITE_CONSTRAINT_ROWID')]],
  ['foreign key', [mysql(1216), mysql(1217), mysql(1451), mysql(1452, '23000'), mysql(1701), pg('23503'), pg('23001'), sqlite('SQLITE_CONSTRAINT_FOREIGNKEY')]],
  ['check', [mysql(3819), mysql(4025, '23000'), pg('23514'), sqlite('SQLITE_CONSTRAINT_CHECK')]],
  ['not null', [mysql(1048, '23000'), mysql(1263), mysql(1364), pg('23502'), sqlite('SQLITE_CONSTRAINT_NOTNULL')]],
  ['invalid value', [mysql(1264, '22003'), mysql(1265), mysql(1292), mysql(1366), mysql(1406, '22001'), mysql(1411), mysql(1690), ...['22001', '22003', '22007', '22008', '22P02', '22P03', '22P05', '22021'].map(code => pg(code)), Object.assign(pg('42883'), { routine: 'op_error' })]],
  ['failed transaction', [pg('25P02')]],
  ['deadlock', [mysql(1213, '40001'), mysql(1206), mysql(1180, 'HY000', "Got error 149 'Lock deadlock; Retry transaction' during COMMIT"), mysql(1180, 'HY000', 'Fehler 149 "Lock deadlock; Retry transaction" beim COMMIT'), shaped('(conn:7, no: 1180, SQLState: HY000) secret', { errno: 1180, sqlMessage: "Got error 149 'Lock deadlock; Retry transaction' during COMMIT", sqlState: 'HY000' }), pg('40P01')]],
  ['lock timeout', [mysql(1205), mysql(3572), pg('55P03'), ...['BUSY', 'BUSY_RECOVERY', 'BUSY_TIMEOUT', 'LOCKED', 'LOCKED_SHAREDCACHE', 'LOCKED_VTAB'].map(code => sqlite(`SQLITE_${code}`))]],
  ['serialization', [mysql(1020), mysql(3101, '40000'), mysql(9999, '40001'), pg('40001'), sqlite('SQLITE_BUSY_SNAPSHOT')]],
  ['interrupted', [mysql(1317, '70100'), mysql(1969, '70100'), mysql(3024), pg('57014')]],
  ['read only', [mysql(1290, 'HY000', 'The MySQL server is running with the --super-read-only option so it cannot execute this statement'), mysql(1836), pg('25006')]],
  ['connection', [
    ...[1040, 1203, 1053, 1047, 1927, 4031, 2002, 2003, 2005, 2006, 2013].map(errno => mysql(errno)), mysql(1159, '08S01'), mysql(1927, '70100'),
    ...['53300', '57P01', '57P02', '57P03', '57P05', '25P03', '25P04', '08000', '08003', '08006', '08P01'].map(code => pg(code, 'FATAL')),
    ...['ECONNRESET', 'ECONNREFUSED', 'ECONNABORTED', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTFOUND', 'EAI_AGAIN', 'ESOCKET', 'PROTOCOL_CONNECTION_LOST', 'PROTOCOL_SEQUENCE_TIMEOUT'].map(code => lost(code)),
    ...["Can't add new command when connection is in closed state", "Can't write in closed state", 'Client has encountered a connection error and is not queryable', 'Client was closed and is not queryable', 'Connection terminated', 'Connection terminated unexpectedly', 'Connection terminated due to connection timeout', 'timeout exceeded when trying to connect', 'Query read timeout'].map(message => lost(undefined, message))
  ]],
  ['access', [mysql(1044), mysql(1045, '28000'), mysql(1049), mysql(1698), pg('28000', 'FATAL'), pg('28P01', 'FATAL'), pg('3D000', 'FATAL'), sqlite('SQLITE_CANTOPEN')]],
  ['privilege', [mysql(1095), mysql(1142), mysql(1143), mysql(1227), mysql(1370), pg('42501')]],
  [undefined, [
    mysql(1064, '42000'), mysql(1146), mysql(1180, 'HY000', "Got error 28 'No space left' during COMMIT"), mysql(1180, 'HY000', "Got error 1490 'error 149' during COMMIT"), shaped('(conn:149, no: 1180, SQLState: HY000) secret', { errno: 1180, sqlMessage: "Got error 28 'No space left' during COMMIT", sqlState: 'HY000' }), mysql(1290, 'HY000', 'The MySQL server is running with the --secure-file-priv option so it cannot execute this statement'), pg('42601'), pg('42883'), pg('40003'), pg('08007', 'FATAL'), pg('57P04', 'FATAL'),
    mysql(9999, '08S010'), mysql(9999, '108S01'),
    sqlite('SQLITE_ERROR'), sqlite('SQLITE_CONSTRAINT_TRIGGER', 'database is locked'), lost(undefined, 'Pool is closed.')
  ]]
]

for (const [kind, errors] of CASES) {
  void t.test(`${kind ?? 'no kind'}: raw, as MikroORM's exception, as a cause`, async t => {
    for (const error of errors) {
      const wrapped = Object.assign(new Error('of the application', { cause: error }), { code: 'MY_OWN' })
      for (const one of [error, new DriverException(error), wrapped, new RollbackOnlyError('so')].map(one => one instanceof RollbackOnlyError ? Object.assign(one, { cause: error }) : one)) {
        const name = JSON.stringify({ class: one.constructor.name, ...error, message: error.message })
        t.equal(errorKind(one), kind, name)
        t.equal(isTransient(one), TRANSIENT.includes(kind), name)
      }
    }
  })
}

void t.test('MikroORM\'s classes, without a code', async t => {
  const plain = new Error('nothing')
  const entity = Object.create(null) as object
  for (const [kind, error] of [
    ['unique', new UniqueConstraintViolationException(plain)],
    ['foreign key', new ForeignKeyConstraintViolationException(plain)],
    ['check', new CheckConstraintViolationException(plain)],
    ['not null', new NotNullConstraintViolationException(plain)],
    ['deadlock', new DeadlockException(plain)],
    ['lock timeout', new LockWaitTimeoutException(plain)],
    ['access', new ConnectionException(plain)],
    ['not found', NotFoundError.findOneFailed('User', { id: 1 })],
    ['optimistic lock', OptimisticLockError.lockFailed('User')],
    ['optimistic lock', OptimisticLockError.lockFailedVersionMismatch(entity, 1, 2)],
    [undefined, OptimisticLockError.notVersioned({ className: 'User' } as never)],
    [undefined, new SyntaxErrorException(plain)],
    [undefined, new DriverException(plain)]
  ] as [Kind, Error][]) {
    t.equal(errorKind(error), kind, error.message)
    t.equal(isTransient(error), TRANSIENT.includes(kind), error.message)
  }
})

void t.test('the code says more than what MikroORM finds in a message', async t => {
  const values = sqlite('SQLITE_CONSTRAINT_CHECK', 'CHECK constraint failed: database is locked')
  const converted = new SqlitePlatform().getExceptionConverter().convertException(values)
  t.ok(converted instanceof LockWaitTimeoutException)
  t.equal(errorKind(converted), 'check')
  const denied = new MySqlPlatform().getExceptionConverter().convertException(mysql(1142))
  t.ok(denied instanceof ConnectionException)
  t.equal(errorKind(denied), 'privilege')
})

void t.test('SQLite\'s numbers', async t => {
  const database = new DatabaseSync(':memory:')
  database.exec('create table a (id integer primary key, b text unique not null, check (b <> \'\')); insert into a values (1, \'x\')')
  for (const [sql, kind] of [["insert into a values (1, 'y')", 'unique'], ["insert into a values (2, 'x')", 'unique'], ['insert into a values (2, null)', 'not null'], ["insert into a values (2, '')", 'check'], ['select', undefined]] as const) {
    try {
      database.exec(sql)
      t.fail(sql)
    } catch (error) {
      t.equal(errorKind(error), kind, sql)
    }
  }
  for (const [rawCode, kind] of [[2067, 'unique'], [787, 'foreign key'], [5, 'lock timeout'], [517, 'serialization'], [1, undefined]] as const) {
    t.equal(errorKind(shaped('secret', { name: 'LibsqlError', code: 'SQLITE_OF_SOME_KIND', rawCode })), kind, String(rawCode))
  }
})

void t.test('a commit of unknown or mixed outcome is never anything else, wherever it is among the causes', async t => {
  const unknown = Object.assign(new CommitUnknownError(), { cause: lost('ECONNRESET') })
  const partly = Object.assign(new PartlyCommittedError(), { cause: mysql(1213) })
  for (const error of [unknown, partly, new DriverException(unknown), new DriverException(partly), new Error('wrapped', { cause: unknown }), Object.assign(new DeadlockException(mysql(1213)), { cause: unknown })]) {
    t.equal(errorKind(error), undefined)
    t.equal(isTransient(error), false)
  }
})

void t.test('what is no error of a database', async t => {
  const circular = new Error('circular')
  circular.cause = new Error('and back', { cause: circular })
  const others = [
    undefined, null, 'ECONNRESET', 7, {}, { errno: 1213, sqlState: '40001' }, new Error('nothing'), circular, new ReadOnlyError(),
    // A mail server, for one.
    shaped('connect ECONNREFUSED', { code: 'ECONNREFUSED', errno: -111, syscall: 'connect' }),
    shaped('Connection terminated', {}),
    new Error('its cause is no error', { cause: 'ECONNRESET' })
  ]
  for (const other of others) {
    t.equal(errorKind(other), undefined)
    t.equal(isTransient(other), false)
  }
})

const automatic = { plugin: { commitOnTeardown: true } }

onEachDatabase('real errors of statements, through MikroORM and raw', automatic, async (t, { orm, database }) => {
  await database.witness.driver.execute('create table checked (amount int not null, check (amount > 0))')
  const em = orm.em.fork()
  await em.insert(Item, { label: 'taken', amount: 0 })
  const caught = async (work: () => unknown) => {
    try {
      await work()
    } catch (error) {
      return errorKind(error)
    }
    return 'nothing was thrown'
  }
  for (const [kind, sql] of [
    ['unique', "insert into item (label, amount) values ('taken', 1)"],
    ['foreign key', "insert into part (item_id, name) values (4711, 'orphan')"],
    ['check', 'insert into checked values (-1)'],
    ['not null', 'insert into checked values (null)'],
    [undefined, 'selekt 1']
  ] as const) {
    t.equal(await caught(() => em.execute(sql)), kind, sql)
    const { CompiledQuery } = await import('kysely')
    t.equal(await caught(() => em.getKysely().executeQuery(CompiledQuery.raw(sql)).catch((error: unknown) => { throw driverError(error) })), kind, `raw: ${sql}`)
  }
  t.equal(await caught(() => em.fork().findOneOrFail(Item, { label: 'nobody' })), 'not found')
  t.equal(await caught(() => em.fork().findOneOrFail(Part, 1)), 'not found')
  t.equal(await caught(() => em.fork().lock(em.create(Item, { label: 'x' }, { persist: false }), LockMode.OPTIMISTIC, 1)), undefined)
})

onEachDatabase('a lock that another connection holds', {}, async (t, { kind, database, orm }) => {
  const holder = database.witness.em.fork()
  await holder.begin()
  await holder.insert(Item, { label: 'held', amount: 0 })
  const em = orm.em.fork()
  const insert = "insert into item (label, amount) values ('held', 1)"
  const impatient = {
    sqlite: ['pragma busy_timeout = 20', insert],
    mysql: ['set innodb_lock_wait_timeout = 1', `set statement innodb_lock_wait_timeout = 1 for ${insert}`],
    postgresql: [`set local lock_timeout = 20; ${insert}`]
  }
  try {
    for (const sql of impatient[kind]) await em.execute(sql)
    t.fail('it was let in')
  } catch (error) {
    t.equal(errorKind(error), 'lock timeout')
    t.ok(isTransient(error))
  }
  await holder.rollback()
})

onEachDatabase('SQLite: a snapshot that is too old to write in', { kinds: ['sqlite'] }, async (t, { database, orm }) => {
  const em = orm.em.fork()
  await em.begin()
  await em.count(Item)
  await database.witness.em.fork().insert(Item, { label: 'newer', amount: 0 })
  await t.rejects(em.insert(Item, { label: 'older', amount: 0 }), { code: 'SQLITE_BUSY_SNAPSHOT' })
  await em.insert(Item, { label: 'older', amount: 0 }).catch((error: unknown) => t.equal(errorKind(error), 'serialization'))
  await em.rollback()
})

onEachDatabase('a deadlock, and a connection that is killed', { ...automatic, kinds: servers }, async (t, { app, database, dialect }) => {
  const seen: unknown[] = []
  app.addHook('onError', async (_request, _reply, error) => { seen.push(error) })
  const em = database.witness.em.fork()
  for (const label of ['a', 'b']) em.create(Item, { label })
  await em.flush()
  const both = [new Gate(), new Gate()]
  app.post('/:first/:second/:n', async request => {
    const { first = '', second = '', n } = request.params as Record<string, string>
    await request.db.nativeUpdate(Item, { label: first }, { amount: 1 })
    both[Number(n)]?.open()
    await Promise.all(both.map(gate => gate.opened))
    // The deadlock is hidden: the commit fails, with the deadlock as its cause.
    await request.db.nativeUpdate(Item, { label: second }, { amount: 1 }).catch(() => undefined)
    return 'ok'
  })
  app.post('/killed', async request => {
    await request.db.insert(Item, { label: 'c', amount: 0 })
    const [{ id }] = await request.db.execute<[{ id: number }]>(`select ${dialect.connectionId} as id`)
    await database.witness.driver.execute(dialect.kill(id))
    return request.headers['x-more'] === undefined ? 'ok' : await request.db.count(Item).then(String)
  })
  await Promise.all([app.inject({ method: 'POST', url: '/a/b/0' }), app.inject({ method: 'POST', url: '/b/a/1' })])
  t.match(seen, [{ code: 'FST_SCOPED_DB_ROLLBACK_ONLY' }])
  t.equal(errorKind(seen.pop()), 'deadlock')
  for (const headers of [{ 'x-more': 'yes' }, {}]) {
    await app.inject({ method: 'POST', url: '/killed', headers })
    const error = seen.pop()
    // Nobody knows of a COMMIT that was sent before the driver had noticed.
    const isUnknown = (error as { code?: string }).code === 'FST_SCOPED_DB_COMMIT_UNKNOWN'
    t.equal(errorKind(error), isUnknown ? undefined : 'connection')
    t.equal(isTransient(error), !isUnknown)
  }
})
