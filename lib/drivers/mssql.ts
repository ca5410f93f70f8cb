import type { Driver, DriverError } from './contracts.ts'
import { UNKNOWN } from './unknown.ts'

/** SQL Server, by way of tedious. */
export const MSSQL: Driver = {
  ...UNKNOWN,
  adapters: ['MssqlAdapter'],
  errors: { ...UNKNOWN.errors, kindOf: ({ code }) => code === 'ESOCKET' ? 'connection' : undefined, isOwn }
}

/** Those that tell of a statement, a user or a server. */
const CODES = new Set<unknown>(['EREQUEST', 'ELOGIN', 'ESOCKET', 'EINSTLOOKUP'])

function isOwn ({ code }: DriverError): boolean {
  return CODES.has(code)
}
