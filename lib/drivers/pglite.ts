import type { Driver } from './contracts.ts'
import { POSTGRESQL } from './postgresql.ts'
import { UNKNOWN } from './unknown.ts'

/** PostgreSQL in this process, by way of PGlite: one connection, which everything has to wait for. */
export const PGLITE: Driver = {
  ...POSTGRESQL,
  adapters: ['PGliteAdapter'],
  isEmbedded: true,
  begins: 'hidden',
  processes: undefined,
  beginWith: UNKNOWN.beginWith,
  replication: undefined,
  physical: UNKNOWN.physical
}
