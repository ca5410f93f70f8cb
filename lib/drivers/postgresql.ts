import type { CompiledQuery, DatabaseConnection } from 'kysely'
import { EventEmitter } from 'node:events'
import type { Combined, CommitAnswer, Destination, Driver, DriverError, ErrorKind, PhysicalConnection, TransactionStatus } from './contracts.ts'
import { isRollbackState, kindOfState } from './kinds.ts'
import { batch, type TypeParsers } from './pg-batch.ts'
import { postgresqlReplication } from './postgresql-replication.ts'
import { words } from './sql/functions.ts'
import { rawQuery } from './sql/raw-query.ts'
import { UNKNOWN } from './unknown.ts'

const NEVER_SENT = ['Client has encountered a connection error and is not queryable', 'Client was closed and is not queryable']

/** PostgreSQL, by way of pg. */
export const POSTGRESQL: Driver = {
  ...UNKNOWN,
  adapters: ['PostgresAdapter'],
  begins: 'in SQL',
  systemOf: () => 'postgresql',
  explain: 'explain',
  errors: {
    kindOf,
    isOwn,
    refuses: error => isOwn(error) && (isRollbackState(error.code) || DEFERRED.test(String(error.code))),
    neverSent: NEVER_SENT
  },
  functions: words(
    'any some array ilike filter within group lateral row materialized varying timestamp interval ' +
    'string_agg array_agg bool_and bool_or every bit_and bit_or stddev stddev_pop stddev_samp variance var_pop var_samp greatest least ' +
    'initcap left right lpad rpad btrim reverse repeat char_length character_length bit_length position strpos ascii chr translate split_part starts_with ' +
    'regexp_replace regexp_matches quote_literal quote_ident encode decode md5 sha256 convert trunc random ' +
    'now localtime localtimestamp extract age date_trunc date_part make_date make_interval make_timestamp to_char to_date to_timestamp to_number ' +
    'json_each json_build_object json_build_array json_agg json_object_agg json_array_length json_array_elements json_array_elements_text ' +
    'jsonb_extract_path_text jsonb_build_object jsonb_build_array jsonb_agg jsonb_object_agg jsonb_array_length jsonb_array_elements ' +
    'jsonb_array_elements_text jsonb_set jsonb_typeof to_json to_jsonb row_to_json unnest array_length array_position array_to_string string_to_array ' +
    'cardinality generate_series gen_random_uuid version pg_sleep'),
  // After everything else its transaction is failed, and a rollback to a savepoint makes it whole.
  rollsBackWith: new Set(['connection']),
  processes: {
    ownId: 'select pg_backend_pid() as id',
    statesOf: ids => `select pid as id, state as state from pg_stat_activity where pid in (${ids.join(', ')})`,
    working: 'active',
    idle: 'idle'
  },
  beginWith,
  idleIn: client => (client as { idleCount?: number }).idleCount,
  replication: postgresqlReplication(connection => known.get(connection)?.nextCommit()),
  physical,
  discard,
  // It takes no statement after one that has failed.
  failsTransaction: isOwn
}

/** The classes with which it refuses a COMMIT besides: what checks and triggers say that were deferred until then. */
const DEFERRED = /^(?:22|23|42|44|P0)[0-9A-Z]{3}$/

/** pg's own errors, which have no code. */
const LOST = new Set([
  ...NEVER_SENT,
  'Connection terminated',
  'Connection terminated unexpectedly',
  'Connection terminated due to connection timeout',
  'timeout exceeded when trying to connect',
  // What it was about still runs on the server.
  'Query read timeout'
])

/** A function is not there, or an operator for values of these types, such as a text and a number. */
const UNDEFINED_FUNCTION = '42883'
const NO_OPERATOR = 'op_error'

function kindOf (error: DriverError): ErrorKind | undefined {
  if (!isOwn(error)) return LOST.has(error.message) ? 'connection' : undefined
  return error.code === UNDEFINED_FUNCTION && error.routine === NO_OPERATOR ? 'invalid value' : kindOfState(error.code)
}

/** The codes of the server: those of the SQL standard, and its own. */
const STATE = /^[0-9A-Z]{5}$/

/** Applications have severities, too. */
function isOwn ({ code, severity }: DriverError): boolean {
  return typeof severity === 'string' && typeof code === 'string' && STATE.test(code)
}

/** What pg gives to whatever it sends, pg-cursor for one: the connection to send it on. */
interface PgConnection extends EventEmitter {
  readonly stream: { readonly closed?: boolean, destroy (): void }
}

const STATUS: Record<string, TransactionStatus> = { I: 'none', T: 'open', E: 'failed' }

class PgPhysicalConnection implements PhysicalConnection {
  status: TransactionStatus | undefined
  readonly types: TypeParsers | undefined
  readonly #connection: PgConnection
  readonly #ended: Promise<void>

  constructor (connection: PgConnection, types: TypeParsers | undefined) {
    this.#connection = connection
    this.types = types
    // One that has ended already does not say so again.
    this.#ended = connection.stream.closed === true ? Promise.resolve() : new Promise(resolve => { this.onEnd(resolve) })
    connection.on('readyForQuery', ({ status }: { status: string }) => { this.status = STATUS[status] })
    // A statement fails before the server says what that means for its transaction.
    // With some it closes the connection, as the next statement will tell.
    connection.on('errorMessage', (error: DriverError) => { if (this.status === 'open' && kindOf(error) !== 'connection') this.status = 'failed' })
  }

  /** Its pool takes it for a good one until it has ended. */
  async close (): Promise<void> {
    this.#connection.stream.destroy()
    await this.#ended
  }

  onEnd (listener: () => void): void {
    this.#connection.once('end', listener)
  }

  /** Listens to the answer to the next message: COMMIT, and a question for one value. */
  nextCommit (): CommitAnswer {
    let value: string | undefined
    let isCommitted = false
    const read = ({ fields }: { fields: (string | null)[] }) => { value = fields[0] ?? undefined }
    // A COMMIT of what has failed is answered with ROLLBACK.
    const complete = ({ text }: { text: string }) => { isCommitted ||= text === 'COMMIT' }
    const connection = this.#connection.on('dataRow', read).on('commandComplete', complete)
    connection.once('readyForQuery', () => connection.off('dataRow', read).off('commandComplete', complete))
    return { positionIn: () => value, get isCommitted () { return isCommitted } }
  }
}

/** pg's pool has it until it is released, which is a method without a name at Kysely's. */
async function discard (connection: DatabaseConnection): Promise<void> {
  await physical(connection)?.close()
  const prototype = Object.getPrototypeOf(connection) as Record<symbol, unknown>
  for (const symbol of Object.getOwnPropertySymbols(prototype)) if (typeof prototype[symbol] === 'function') (connection as unknown as Record<symbol, () => void>)[symbol]?.()
}

const known = new WeakMap<DatabaseConnection, PgPhysicalConnection | undefined>()

function physical (connection: DatabaseConnection): PgPhysicalConnection | undefined {
  if (!known.has(connection)) known.set(connection, reach(connection))
  return known.get(connection)
}

function beginWith (begin: readonly string[], query: CompiledQuery, { connection }: Destination): Combined | undefined {
  const found = physical(connection)
  return found?.types && batch(begin, query, found.types, () => { found.status = 'open' })
}

/** Kysely keeps the client to itself, but hands on to pg what is to be sent, which may be something that sends itself. This sends nothing. */
class Probe {
  connection: PgConnection | undefined
  /** Filled in by pg, with the client's. */
  readonly _result: { _types?: TypeParsers } = {}
  /** Set by pg where there is a time limit. */
  callback?: () => void

  submit (connection: PgConnection): Error {
    this.connection = connection
    return new Error('there is nothing to send')
  }

  handleError (): void {
    this.callback?.()
  }
}

function reach (connection: DatabaseConnection): PgPhysicalConnection | undefined {
  if (connection.constructor.name !== 'PostgresConnection') return undefined
  const probe = new Probe()
  connection.executeQuery(rawQuery(probe as unknown as string)).catch(() => undefined)
  return probe.connection instanceof EventEmitter ? new PgPhysicalConnection(probe.connection, probe._result._types) : undefined
}
