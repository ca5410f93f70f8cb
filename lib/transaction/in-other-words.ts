import type { DatabaseConnection, QueryResult } from 'kysely'
import { rawQuery } from '../drivers/sql/raw-query.ts'

/**
 * Has `run` send one of Kysely's own commands, BEGIN or COMMIT, in other words, on a connection that nobody else has.
 * @returns what `run` gives, and what comes back; nothing where it was sent by other means than a statement
 */
export async function inOtherWords<T> (connection: DatabaseConnection, command: string, words: string, run: () => Promise<T>): Promise<{ result: T, answer: QueryResult<unknown> | undefined }> {
  const { executeQuery } = connection
  let answer: QueryResult<unknown> | undefined
  connection.executeQuery = async (query, ...rest) => {
    if (query.sql !== command) return await executeQuery.call(connection, query, ...rest) as QueryResult<never>
    answer = await executeQuery.call(connection, rawQuery(words), ...rest)
    return answer as QueryResult<never>
  }
  try {
    return { result: await run(), answer }
  } finally {
    connection.executeQuery = executeQuery
  }
}
