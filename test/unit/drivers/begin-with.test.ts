import { CompiledQuery, type DatabaseConnection, type QueryResult } from 'kysely'
import { EventEmitter } from 'node:events'
import t from 'tap'
import type { Combined } from '../../../lib/drivers/contracts.ts'
import { DRIVERS } from '../../../lib/drivers/drivers.ts'
import { MYSQL } from '../../../lib/drivers/mysql.ts'
import { POSTGRESQL } from '../../../lib/drivers/postgresql.ts'
import type { TypeParsers } from '../../../lib/drivers/pg-batch.ts'

const INSERT = CompiledQuery.raw("insert into thing (name) values ('a')")
const NOBODY = { executeQuery: () => t.fail('it was asked') } as unknown as DatabaseConnection
const TABLES = new Map<string, string | null>([['thing', 'id'], ['keyed', null]])
const MARIADB = { connection: NOBODY, version: '10.11.19-MariaDB', generatedColumn: (table: string) => TABLES.get(table) }

void t.test('only what is known to be safe is sent together', t => {
  const query = MYSQL.beginWith(['begin'], INSERT, MARIADB)?.query
  t.match(query, { queryId: INSERT.queryId, parameters: [] }, 'it is cancelled as the statement itself is')
  for (const version of [undefined, '8.4.3', '']) t.equal(MYSQL.beginWith(['begin'], INSERT, { ...MARIADB, version }), undefined, 'MySQL has no compound statements')
  t.equal(MYSQL.beginWith(['begin'], CompiledQuery.raw(INSERT.sql, [1]), MARIADB), undefined, 'with parameters')
  t.equal(MYSQL.beginWith(['begin'], { ...INSERT, query: { kind: 'UpdateQueryNode' } as never }, MARIADB), undefined, "one of Kysely's, which says more of its result")
  for (const driver of DRIVERS) if (driver !== MYSQL) t.equal(driver.beginWith(['begin'], INSERT, MARIADB), undefined, driver.adapters.join())
  t.end()
})

void t.test('an id is answered only where it is generated', t => {
  const sentFor = (sql: string) => MYSQL.beginWith(['begin'], CompiledQuery.raw(sql), MARIADB)?.query.sql
  t.match(sentFor("insert into thing (name) values ('a')"), 'last_insert_id()')
  t.match(sentFor("insert into `thing` (`name`) values ('a')"), 'last_insert_id()')
  t.notMatch(sentFor("insert into keyed (id) values ('a')"), 'last_insert_id()')
  for (const sql of ['insert into thing (`Id`) values (1)', 'insert into `thing` values (1)', "insert into other (name) values ('a')", "insert into `schema`.`thing` (name) values ('a')"]) t.equal(sentFor(sql), undefined, sql)
  const answer = (rows: unknown[]) => MYSQL.beginWith(['begin'], INSERT, MARIADB)?.answer({ rows: [rows, {}] })
  t.strictSame(answer([{ id: '18446744073709551615', count: 1 }]), { insertId: 2n ** 64n - 1n, numAffectedRows: 1n, numChangedRows: 0n, rows: [] })
  t.strictSame(answer([{ id: Buffer.from('5'), count: Buffer.from('2') }]), { insertId: 5n, numAffectedRows: 2n, numChangedRows: 0n, rows: [] })
  t.equal(answer([{ id: 0, count: 1 }]), undefined)
  t.end()
})

interface Sent extends PromiseLike<object> {
  callback?: (error?: unknown) => void
  readonly _result?: { _types?: TypeParsers }
  submit (connection: unknown): Error | null
  handleRowDescription (message: { fields: object[] }): void
  handleDataRow (message: { fields: (string | null)[] }): void
  handleCommandComplete (message: { text: string }): void
  handleReadyForQuery (): void
  handleError (error: Error): void
}

class PgConnection extends EventEmitter {
  readonly stream = { closed: false, destroy () {} }
  readonly texts: string[] = []
  query (text: string): void { this.texts.push(text) }
}

/** As Kysely's is, on top of pg's client. */
class PostgresConnection {
  readonly pg = new PgConnection()
  readonly #types: TypeParsers | undefined

  constructor (types: TypeParsers | undefined) {
    this.#types = types
  }

  async executeQuery ({ sql }: CompiledQuery): Promise<QueryResult<unknown>> {
    const sent = sql as unknown as Sent
    if (sent._result !== undefined && this.#types !== undefined) sent._result._types = this.#types
    if (sent.submit(this.pg) !== null) { sent.handleError(new Error('not sent')); throw new Error('not sent') }
    return await sent as QueryResult<unknown>
  }
}

const pgConnection = (types?: TypeParsers) => new PostgresConnection(types) as unknown as PostgresConnection & DatabaseConnection
const combinedOn = (connection: DatabaseConnection) => POSTGRESQL.beginWith(['begin'], CompiledQuery.raw('select 1 as n'), { ...MARIADB, connection })

void t.test('pg has to say how values are to be read', t => {
  t.equal(combinedOn(pgConnection()), undefined)
  t.ok(combinedOn(pgConnection({ getTypeParser: () => Number })))
  t.end()
})

void t.test('the rows of the last statement are read by their types, and a limit of time is called off', async t => {
  const connection = pgConnection({ getTypeParser: (type, format) => text => `${text} ${type} ${format}` })
  const query = combinedOn(connection)?.query as CompiledQuery
  const sent = query.sql as unknown as Sent
  let calls = 0
  sent.callback = () => { calls++ }
  const result = connection.executeQuery(query)
  t.same(connection.pg.texts, ['begin; select 1 as n'])
  sent.handleCommandComplete({ text: 'BEGIN' })
  t.equal(POSTGRESQL.physical(connection)?.status, 'open')
  sent.handleRowDescription({ fields: [{ name: 'n', dataTypeID: 23, format: 'text' }, { name: 'm', dataTypeID: 25, format: 'text' }, { name: 'n', dataTypeID: 20, format: 'text' }] })
  sent.handleDataRow({ fields: ['1', null, '2'] })
  sent.handleCommandComplete({ text: 'SELECT 1' })
  sent.handleReadyForQuery()
  t.strictSame(await result, { command: 'SELECT', rowCount: 1, rows: [{ n: '2 20 text', m: null }] })
  t.equal(calls, 1)
})

void t.test('a value that cannot be read is an error, and so is a time that is up', async t => {
  const connection = pgConnection({ getTypeParser: () => () => { throw new Error('unreadable') } })
  const send = () => {
    const query = combinedOn(connection)?.query as CompiledQuery
    return { sent: query.sql as unknown as Sent, result: connection.executeQuery(query) }
  }
  const unreadable = send()
  unreadable.sent.handleRowDescription({ fields: [{ name: 'n', dataTypeID: 23, format: 'text' }] })
  unreadable.sent.handleDataRow({ fields: ['1'] })
  unreadable.sent.handleReadyForQuery()
  await t.rejects(unreadable.result, { message: 'unreadable' })
  const { sent, result } = send()
  sent.handleError(new Error('Query read timeout'))
  // The answer comes after all.
  sent.handleCommandComplete({ text: 'SELECT 0' })
  sent.handleReadyForQuery()
  await t.rejects(result, { message: 'Query read timeout' })
})

void t.test('an error names the statement alone', t => {
  const restored = <T extends object>(combined: Combined | undefined, error: T) => { combined?.restore(error); return error }
  const mariadb = MYSQL.beginWith(['begin'], INSERT, MARIADB)
  t.same(restored(mariadb, { sql: String(mariadb?.query.sql) }), { sql: INSERT.sql })
  const pg = combinedOn(pgConnection({ getTypeParser: () => Number }))
  t.same(restored(pg, { position: '15' }), { position: '8' })
  for (const combined of [mariadb, pg]) t.same(restored(combined, {}), {})
  t.end()
})
