import { rawQuery } from '../drivers/sql/raw-query.ts'
import type { PooledConnection } from './pooled-connection.ts'
import type { TransactionCommands } from './transaction-commands.ts'

/** What is marked. */
interface MarkedTransaction {
  readonly connection: PooledConnection
  readonly commands: TransactionCommands
  /** Why nothing but a rollback goes through. */
  readonly failure: unknown
}

const MARK = 'fastify_scoped_db_mark'

/**
 * Marks a transaction, by a savepoint that the database keeps for as long as it is in it, or by its name where savepoints cannot be released.
 * @returns a look whether the database is still in the transaction that was marked, which takes the mark away
 */
export async function setMark (transaction: MarkedTransaction, name = MARK): Promise<() => Promise<boolean>> {
  const { connection, commands } = transaction
  const { transactionId } = connection.driver
  if (transactionId !== undefined) return await remember(connection, transactionId)
  await commands.savepoint(name)
  return async () => transaction.failure !== undefined || await goesThrough(commands.releaseSavepoint(name))
}

/** Whether the database keeps one: outside any transaction it does not. */
export async function keepsMark (transaction: MarkedTransaction): Promise<boolean> {
  try {
    const isMarked = await setMark(transaction, 'fastify_scoped_db_open')
    return await isMarked()
  } catch {
    return false
  }
}

async function remember (connection: PooledConnection, transactionId: string): Promise<() => Promise<boolean>> {
  const ask = async () => (await connection.send(rawQuery<{ id: unknown }>(transactionId))).rows[0]?.id
  const marked = await ask()
  return async () => marked !== null && await ask() === marked
}

async function goesThrough (command: Promise<unknown>): Promise<boolean> {
  try {
    await command
    return true
  } catch {
    return false
  }
}
