import type { DatabaseConnection } from 'kysely'
import { EventEmitter } from 'node:events'
import type { Driver, PhysicalConnection, TransactionStatus } from './contracts.ts'

/** PostgreSQL, by way of pg. */
export const POSTGRESQL: Driver = {
  adapters: ['PostgresAdapter'],
  isEmbedded: false,
  // After everything else its transaction is failed, and a rollback to a savepoint makes it whole.
  rollsBackWith: new Set(['connection']),
  physical,
  nativeStatus: () => undefined,
  failsTransaction: isOfServer
}

/** What pg gives to whatever it sends, pg-cursor for one: the connection to send it on. */
interface PgConnection extends EventEmitter {
  readonly stream: { destroy (): void }
}

const STATUS: Record<string, TransactionStatus> = { I: 'none', T: 'open', E: 'failed' }

class PgPhysicalConnection implements PhysicalConnection {
  status: TransactionStatus | undefined
  readonly #connection: PgConnection

  constructor (connection: PgConnection) {
    this.#connection = connection
    connection.on('readyForQuery', ({ status }: { status: string }) => { this.status = STATUS[status] })
    // A statement fails before the server says what that means for its transaction.
    connection.on('errorMessage', () => { if (this.status === 'open') this.status = 'failed' })
  }

  close (): void {
    this.#connection.stream.destroy()
  }

  onEnd (listener: () => void): void {
    this.#connection.once('end', listener)
  }
}

const known = new WeakMap<DatabaseConnection, PgPhysicalConnection | undefined>()

function physical (connection: DatabaseConnection): PhysicalConnection | undefined {
  if (!known.has(connection)) {
    const found = connectionOf(connection)
    known.set(connection, found && new PgPhysicalConnection(found))
  }
  return known.get(connection)
}

/** Kysely keeps the client to itself, but hands on to pg what is to be sent, which may be something that sends itself. This sends nothing. */
class Probe {
  connection: PgConnection | undefined
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

function connectionOf (connection: DatabaseConnection): PgConnection | undefined {
  if (connection.constructor.name !== 'PostgresConnection') return undefined
  const probe = new Probe()
  connection.executeQuery({ sql: probe as unknown as string, parameters: [], query: { kind: 'RawNode', sqlFragments: [], parameters: [] }, queryId: { queryId: 'fastify-scoped-db' } }).catch(() => undefined)
  return probe.connection instanceof EventEmitter ? probe.connection : undefined
}

/** The codes of errors of the server. */
const SQLSTATE = /^[0-9A-Z]{5}$/

/** PostgreSQL takes no statement after one that has failed. Only errors of the server have both. */
function isOfServer (error: unknown): boolean {
  const { severity, code } = Object(error) as { severity?: unknown, code?: unknown }
  return typeof severity === 'string' && typeof code === 'string' && SQLSTATE.test(code)
}
