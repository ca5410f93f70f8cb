import type { ControlConnectionProvider } from 'kysely'
import type { Driver, DriverError } from './contracts.ts'

/** A database that nothing is known of: whatever may be is taken for what is. The errors are those that drivers have in common. Others begin with this. */
export const UNKNOWN: Driver = {
  adapters: [],
  systemOf: () => 'other_sql',
  errors: {
    kindOf: ({ code }) => SOCKET.has(code) ? 'connection' : undefined,
    isOwn,
    refuses: () => false,
    neverSent: []
  },
  functions: new Set(),
  isEmbedded: false,
  begins: 'by Kysely',
  explain: undefined,
  // After a lock wait timeout some roll back one statement, or, as they may be set up, everything.
  rollsBackWith: new Set(['deadlock', 'lock timeout', 'serialization', 'connection']),
  processes: undefined,
  beginWith: () => undefined,
  causalReads: undefined,
  replication: undefined,
  physical: () => undefined,
  discard: async connection => { await connection.killSession?.(nothingToStop) },
  nativeStatus: () => undefined,
  idleIn: () => undefined,
  failsTransaction: () => false
}

const nothingToStop: ControlConnectionProvider = async () => { throw new Error('there is nothing to stop') }

/** Codes of Node's sockets. */
const SOCKET = new Set<unknown>(['ECONNRESET', 'ECONNREFUSED', 'ECONNABORTED', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTFOUND', 'EAI_AGAIN'])

/** The number that every message of oracledb begins with. */
const ORACLE = /^(?:ORA|NJS|DPI)-\d/

/** Those of drivers that MikroORM has besides. */
function isOwn ({ name, message }: DriverError): boolean {
  return String(name).startsWith('Mongo') || ORACLE.test(message)
}
