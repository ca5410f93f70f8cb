import type { QueryExecutor } from 'kysely'

/** A family of databases, by what is built into all of them. */
export type Dialect = 'mysql' | 'postgresql' | 'sqlite'

const DIALECTS = new Map<string, Dialect>([['MysqlAdapter', 'mysql'], ['PostgresAdapter', 'postgresql'], ['SqliteAdapter', 'sqlite']])

/** Gives nothing where it is not known, as with an application's own dialect. */
export function dialectOf ({ adapter }: Pick<QueryExecutor, 'adapter'>): Dialect | undefined {
  return DIALECTS.get(adapter.constructor.name)
}
