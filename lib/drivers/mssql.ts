import type { Driver, DriverError, ErrorKind } from './contracts.ts'
import { kindsByCode } from './kinds.ts'
import { words } from './sql/functions.ts'
import { UNKNOWN } from './unknown.ts'

/** SQL Server, by way of tedious. */
export const MSSQL: Driver = {
  ...UNKNOWN,
  adapters: ['MssqlAdapter'],
  systemOf: () => 'microsoft.sql_server',
  errors: { ...UNKNOWN.errors, kindOf, isOwn, neverSent: ['Requests can only be made in the LoggedIn state, not the Final state'] },
  // A user's own always has a schema ahead of it.
  functions: words(
    'as output nvarchar nchar varbinary binary datetime2 datetimeoffset top offset next ' +
    'count_big stdev stdevp var varp string_agg isnull iif choose convert try_cast try_convert parse try_parse ' +
    'len datalength left right charindex patindex replicate reverse stuff space str ascii char unicode string_split translate soundex quotename ' +
    'getdate getutcdate sysdatetime sysutcdatetime sysdatetimeoffset dateadd datediff datediff_big datepart datename datefromparts datetrunc ' +
    'year month day eomonth isdate isnumeric square log2 checksum hashbytes newid json_value json_query isjson openjson'),
  // Savepoints end with their transaction.
  transactionId: 'select case when @@trancount > 0 then current_transaction_id() end as id',
  failsTransaction: error => kindOf(error) === 'failed transaction'
}

/** By the server's numbers. */
const KINDS = kindsByCode({
  unique: [2601, 2627],
  'not null': [515],
  // Overflows, conversions, truncations.
  'invalid value': [220, 232, 241, 242, 244, 245, 248, 8114, 8115, 8152, 2628],
  deadlock: [1205],
  'lock timeout': [1222],
  // Snapshot isolation; tables in memory.
  serialization: [3960, 3961, 41302, 41305, 41325],
  'failed transaction': [3930],
  'read only': [3906],
  access: [4060, 18452, 18456, 'ELOGIN'],
  privilege: [229, 230, 262],
  interrupted: ['ECANCEL'],
  connection: ['ESOCKET', 'ECLOSE', 'EINVALIDSTATE', 'EINSTLOOKUP']
})

/** A FOREIGN KEY or a CHECK: its message has the keyword in every language. */
const CONSTRAINT = 547

function kindOf (error: DriverError): ErrorKind | undefined {
  const { message, code, number } = error
  if (!isOwn(error)) return undefined
  if (number === CONSTRAINT) return message.includes('CHECK') ? 'check' : 'foreign key'
  if (code === TIMEOUT) return REQUEST_TIMEOUT.test(message) ? 'interrupted' : 'connection'
  return KINDS.get(number) ?? KINDS.get(code)
}

/** Those of tedious. Node's resolver has the last one as well. */
const CODES = new Set<unknown>(['EREQUEST', 'ELOGIN', 'ESOCKET', 'EINSTLOOKUP', 'ECLOSE', 'ECANCEL', 'EINVALIDSTATE'])
const TIMEOUT = 'ETIMEOUT'
const REQUEST_TIMEOUT = /^Timeout: Request failed/
const CONNECT_TIMEOUT = /^Failed to connect/

function isOwn ({ code, message }: DriverError): boolean {
  return CODES.has(code) || (code === TIMEOUT && (REQUEST_TIMEOUT.test(message) || CONNECT_TIMEOUT.test(message)))
}
