import type { Kysely } from 'kysely'
import type { Driver } from './contracts.ts'
import { MSSQL } from './mssql.ts'
import { MYSQL } from './mysql.ts'
import { POSTGRESQL } from './postgresql.ts'
import { SQLITE } from './sqlite.ts'
import { UNKNOWN } from './unknown.ts'

const DRIVERS = new Map([MYSQL, POSTGRESQL, SQLITE, MSSQL].flatMap(driver => driver.adapters.map(adapter => [adapter, driver] as const)))

/** That of the database which a Kysely speaks to. */
export function driverOf (client: Kysely<unknown>): Driver {
  return DRIVERS.get(client.getExecutor().adapter.constructor.name) ?? UNKNOWN
}
