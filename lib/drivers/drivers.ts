import type { QueryExecutor } from 'kysely'
import type { Driver } from './contracts.ts'
import { MSSQL } from './mssql.ts'
import { MYSQL } from './mysql.ts'
import { PGLITE } from './pglite.ts'
import { POSTGRESQL } from './postgresql.ts'
import { SQLITE } from './sqlite.ts'
import { UNKNOWN } from './unknown.ts'

/** All of them. An error can be any one's. */
export const DRIVERS: readonly Driver[] = [MYSQL, POSTGRESQL, PGLITE, SQLITE, MSSQL, UNKNOWN]

const BY_ADAPTER = new Map(DRIVERS.flatMap(driver => driver.adapters.map(adapter => [adapter, driver] as const)))

/** That of the database which a Kysely's executor speaks to. */
export function driverOf ({ adapter }: Pick<QueryExecutor, 'adapter'>): Driver {
  return BY_ADAPTER.get(adapter.constructor.name) ?? UNKNOWN
}
