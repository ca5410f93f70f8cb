import type { DatabaseConnection } from 'kysely'
import { Bag } from '../bag.ts'
import type { PhysicalConnection } from '../drivers/contracts.ts'
import { driverError } from '../drivers/errors.ts'

/** Ends what waits for an answer of a connection that was closed, with `error`. */
export type Interrupt = (error: Error) => void

const INTERRUPTIBLE = new WeakMap<DatabaseConnection, Interrupt>()

/** Whether it was made so before. */
export function isInterruptible (connection: DatabaseConnection): boolean {
  return INTERRUPTIBLE.has(connection)
}

const OVER: IteratorResult<never> = { done: true, value: undefined }

/**
 * Makes a connection interruptible. A driver that closes a connection can forget the statement that runs on it, and
 * whoever waits for that would wait for ever. Kysely changes connections in the same way, to log their statements. What its
 * statements fail with is remembered as the database's error.
 * @param physical given, the end of that interrupts, too
 */
export function interruptible (connection: DatabaseConnection, physical?: PhysicalConnection): Interrupt {
  const known = INTERRUPTIBLE.get(connection)
  if (known !== undefined) return known
  const waiting = new Bag<{ index: number, interrupt: Interrupt }>()
  let hasEnded = false
  const answered = <T>(answer: Promise<T>, interrupted?: T) => new Promise<T>((resolve, reject) => {
    const wait = { index: -1, interrupt: (error: Error) => { if (interrupted === undefined) reject(error); else resolve(interrupted) } }
    waiting.add(wait)
    answer.then(
      value => { waiting.delete(wait); resolve(value) },
      (error: Error) => { waiting.delete(wait); reject(driverError(error)) })
  })
  const { executeQuery, streamQuery, killSession } = connection
  connection.executeQuery = (...args) => answered(executeQuery.apply(connection, args) as Promise<never>)
  connection.streamQuery = (...args) => {
    const rows = streamQuery.apply(connection, args) as AsyncGenerator<never>
    return {
      next: () => answered(rows.next()),
      // A cursor may never close on a connection that has ended.
      return: () => hasEnded ? Promise.resolve(OVER) : answered(rows.return(undefined), OVER),
      [Symbol.asyncIterator] () { return this }
    }
  }
  const interrupt: Interrupt = error => { for (const wait of waiting) wait.interrupt(error) }
  physical?.onEnd(() => {
    hasEnded = true
    interrupt(driverError(Object.assign(new Error('the connection has ended'), { code: 'ECONNRESET' })))
  })
  // Asked for by Kysely, for the abort signal of a statement.
  if (killSession !== undefined) {
    connection.killSession = control => {
      const killed = killSession.call(connection, control)
      interrupt(new Error('the connection was closed'))
      return killed
    }
  }
  INTERRUPTIBLE.set(connection, interrupt)
  return interrupt
}
