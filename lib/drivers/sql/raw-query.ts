import type { CompiledQuery } from 'kysely'

const OWN = { queryId: 'fastify-scoped-db' }

/**
 * A statement of our own, as Kysely's connections and executors take it. What comes of it is for its caller to know.
 *
 * @example
 * await connection.executeQuery(rawQuery('select 1'))
 */
export function rawQuery<Row = unknown> (sql: string): CompiledQuery<Row> {
  return { sql, parameters: [], query: { kind: 'RawNode', sqlFragments: [sql], parameters: [] }, queryId: OWN }
}

/** Whether it is one. */
export function isRawQuery (query: object): boolean {
  return (query as Partial<CompiledQuery>).queryId === OWN
}
