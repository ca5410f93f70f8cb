import type { Driver, DriverError, ErrorKind, TransactionStatus } from './contracts.ts'
import { kindsByCode } from './kinds.ts'
import { words } from './sql/functions.ts'
import { UNKNOWN } from './unknown.ts'

/** SQLite, by way of better-sqlite3, node:sqlite or libsql. */
export const SQLITE: Driver = {
  ...UNKNOWN,
  adapters: ['SqliteAdapter'],
  begins: 'in SQL',
  systemOf: () => 'sqlite',
  explain: 'explain query plan',
  errors: { ...UNKNOWN.errors, kindOf, isOwn },
  functions: words(
    'filter materialized glob regexp match ' +
    'group_concat string_agg total iif if ifnull typeof instr char hex unhex soundex quote trunc log2 random ' +
    'julianday unixepoch strftime datetime timediff json json_extract json_type json_valid json_array json_quote json_set json_insert json_remove json_patch ' +
    'json_group_array json_group_object json_each json_tree json_array_length jsonb_set'),
  isEmbedded: true,
  nativeStatus
}

/** SQLite's extended result codes, by number and by name. A snapshot that is too old to write in can only be taken anew. */
const KINDS = kindsByCode({
  unique: [2067, 'SQLITE_CONSTRAINT_UNIQUE', 1555, 'SQLITE_CONSTRAINT_PRIMARYKEY', 2579, 'SQLITE_CONSTRAINT_ROWID'],
  'foreign key': [787, 'SQLITE_CONSTRAINT_FOREIGNKEY'],
  check: [275, 'SQLITE_CONSTRAINT_CHECK'],
  'not null': [1299, 'SQLITE_CONSTRAINT_NOTNULL'],
  'lock timeout': [
    5, 'SQLITE_BUSY', 261, 'SQLITE_BUSY_RECOVERY', 773, 'SQLITE_BUSY_TIMEOUT',
    6, 'SQLITE_LOCKED', 262, 'SQLITE_LOCKED_SHAREDCACHE', 518, 'SQLITE_LOCKED_VTAB'
  ],
  serialization: [517, 'SQLITE_BUSY_SNAPSHOT'],
  access: [14, 'SQLITE_CANTOPEN']
})

function kindOf ({ code, errcode, rawCode }: DriverError): ErrorKind | undefined {
  return KINDS.get(errcode ?? rawCode) ?? KINDS.get(code)
}

const NAMES = new Set<unknown>(['SqliteError', 'LibsqlError'])

function isOwn ({ name, code }: DriverError): boolean {
  return NAMES.has(name) || code === 'ERR_SQLITE_ERROR'
}

function nativeStatus (client: unknown): TransactionStatus | undefined {
  const { inTransaction } = Object(client) as { inTransaction?: unknown }
  return typeof inTransaction === 'boolean' ? (inTransaction ? 'open' : 'none') : undefined
}
