import type { Driver } from './contracts.ts'

/** SQL Server, by way of tedious. */
export const MSSQL: Driver = {
  adapters: ['MssqlAdapter'],
  isEmbedded: false,
  rollsBackWith: new Set(['deadlock', 'lock timeout', 'serialization', 'connection']),
  physical: () => undefined,
  nativeStatus: () => undefined,
  failsTransaction: () => false
}
