import type { Database } from './database.ts'
import { openGalera } from './galera.ts'
import { openMariaDb } from './mariadb.ts'
import { openPostgreSql } from './postgresql.ts'
import { openSqlite } from './sqlite.ts'

const OPEN = { mysql: openMariaDb, postgresql: openPostgreSql, sqlite: openSqlite }

export type DatabaseName = keyof typeof OPEN

/** Those that there are: another one is a line here and a file beside this, and how the application connects to it. */
export const DATABASES = Object.keys(OPEN) as DatabaseName[]

export function isDatabaseName (name: string): name is DatabaseName {
  return name in OPEN
}

/**
 * @param nodes how many a cluster of them is to have; otherwise it is one server
 * @throws UsageError when this machine does not have it
 */
export async function openDatabase (name: DatabaseName, nodes?: number): Promise<Database> {
  return nodes === undefined ? await OPEN[name]() : await openGalera(nodes)
}
