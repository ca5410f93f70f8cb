import {
  CheckConstraintViolationException, ConnectionException, DeadlockException, DriverException, ForeignKeyConstraintViolationException,
  LockWaitTimeoutException, NotFoundError, NotNullConstraintViolationException, OptimisticLockError, UniqueConstraintViolationException
} from '@mikro-orm/core'
import t from 'tap'
import { isTransient, kindOf, type ErrorKind } from '../lib/error-kind.ts'
import { CommitUnknownError, PartlyCommittedError, RollbackOnlyError } from '../lib/errors.ts'
import { ItemSchema as Item, PartSchema as Part } from './support/entities.ts'
import { onEachDatabase } from './support/on-each-database.ts'

const raw = (properties: object, message = 'said by a driver') => Object.assign(new Error(message), properties)
const mysql = (errno: number, message?: string) => raw({ errno, code: 'ER_ANY', sqlState: 'HY000' }, message)
const pg = (code: string) => raw({ code, severity: 'ERROR' })
const sqlite = (code: string) => Object.assign(raw({ code }), { name: 'SqliteError' })

const TABLE: [kind: ErrorKind | undefined, errors: unknown[]][] = [
  ['unique', [mysql(1062), pg('23505'), sqlite('SQLITE_CONSTRAINT_UNIQUE'), sqlite('SQLITE_CONSTRAINT_PRIMARYKEY'), raw({ code: 'ERR_SQLITE_ERROR', errcode: 2067 }), new UniqueConstraintViolationException(new Error('any'))]],
  ['foreign key', [mysql(1451), mysql(1452), pg('23503'), sqlite('SQLITE_CONSTRAINT_FOREIGNKEY'), new ForeignKeyConstraintViolationException(new Error('any'))]],
  ['check', [mysql(3819), mysql(4025), pg('23514'), sqlite('SQLITE_CONSTRAINT_CHECK'), new CheckConstraintViolationException(new Error('any'))]],
  ['not null', [mysql(1048), mysql(1364), pg('23502'), sqlite('SQLITE_CONSTRAINT_NOTNULL'), new NotNullConstraintViolationException(new Error('any'))]],
  ['deadlock', [mysql(1213), mysql(1180, 'Got error 149 "Lock deadlock; Retry transaction" during COMMIT'), pg('40P01'), new DeadlockException(new Error('any'))]],
  ['lock timeout', [mysql(1205), pg('55P03'), sqlite('SQLITE_BUSY'), Object.assign(raw({ rawCode: 5 }), { name: 'LibsqlError' }), new LockWaitTimeoutException(new Error('any'))]],
  ['serialization', [mysql(1020), pg('40001'), sqlite('SQLITE_BUSY_SNAPSHOT')]],
  ['connection', [
    mysql(1927), mysql(1053), pg('57P01'), pg('08006'), raw({ code: 'PROTOCOL_CONNECTION_LOST', fatal: true }), raw({ code: 'ECONNREFUSED', fatal: true }), raw({ code: 'ECONNRESET', fatal: true, errno: -104 }),
    new DriverException(new Error("Can't add new command when connection is in closed state")), new ConnectionException(new Error('any'))
  ]],
  ['access', [mysql(1045), mysql(1049), mysql(1142), new ConnectionException(mysql(1142)), pg('28P01')]],
  ['not found', [new NotFoundError('any')]],
  ['optimistic lock', [OptimisticLockError.lockFailed('Item')]],
  [undefined, [
    undefined, null, 'an error', {}, new Error('any'), raw({ code: 'ECONNREFUSED' }, 'of an HTTP client'), raw({ errno: 1062 }), mysql(1064), mysql(1180, 'Got error 28 during COMMIT'), sqlite('SQLITE_ERROR'),
    OptimisticLockError.notVersioned({ className: 'Item' } as never)
  ]]
]

void t.test('what kind of error something is, whichever driver it comes from', async t => {
  for (const [kind, errors] of TABLE) {
    for (const error of errors) t.equal(kindOf(error), kind, `${String(kind)}: ${JSON.stringify(error)}`)
  }
})

void t.test('only what another attempt can mend is transient', async t => {
  for (const [kind, errors] of TABLE) {
    const expected = ['deadlock', 'lock timeout', 'serialization', 'connection'].includes(String(kind))
    for (const error of errors) t.equal(isTransient(error), expected, String(kind))
  }
})

void t.test('causes count, and a COMMIT whose outcome nobody knows is never transient', async t => {
  const caused = (error: Error, cause: unknown) => Object.assign(error, { cause })
  t.equal(kindOf(caused(new RollbackOnlyError('its transaction has failed'), mysql(1213))), 'deadlock')
  t.equal(kindOf(caused(new Error('wrapped'), caused(new Error('twice'), mysql(1062)))), 'unique')
  t.equal(kindOf(caused(new CommitUnknownError(), mysql(1927))), undefined)
  t.equal(kindOf(caused(new Error('wrapped'), caused(new CommitUnknownError(), mysql(1927)))), undefined)
  t.equal(kindOf(new DriverException(caused(new CommitUnknownError(), mysql(1927)))), undefined)
  t.equal(kindOf(caused(new Error('wrapped'), caused(new PartlyCommittedError(), mysql(1213)))), undefined, 'part of it is committed')
  const circle = new Error('a circle')
  t.equal(kindOf(caused(circle, circle)), undefined)
})

onEachDatabase('real errors', { plugin: { commitOnTeardown: true } }, async (t, { app, orm, kind }) => {
  await app.ready()
  const failing = async (work: (em: typeof orm.em) => Promise<unknown>) => await work(orm.em.fork()).then(() => 'no error', kindOf)
  if (kind === 'sqlite') await orm.driver.execute('pragma foreign_keys = on')
  await orm.em.fork().insert(Item, { label: 'same', amount: 0 })
  t.equal(await failing(em => em.insert(Item, { label: 'same', amount: 0 })), 'unique')
  t.equal(await failing(em => em.getKysely().insertInto('item' as never).values({ label: 'same', amount: 0 } as never).execute()), 'unique', 'raw')
  t.equal(await failing(em => em.insert(Part, { item: 4711, name: 'a' })), 'foreign key')
  t.equal(await failing(em => em.insert(Item, { label: null as never, amount: 0 })), 'not null')
  await orm.driver.execute('create table checked (amount int check (amount > 0))')
  t.equal(await failing(em => em.execute('insert into checked values (-1)')), 'check')
  t.equal(await failing(em => em.findOneOrFail(Item, { label: 'nobody' })), 'not found')
  t.equal(await failing(em => em.execute('select * from nowhere')), undefined)
})
