import { AsyncLocalStorage } from 'node:async_hooks'
import type { DatabaseConnection } from 'kysely'

/** What becomes of the statements that are sent on a connection that was given away. */
export interface Provider {
  /**
   * @returns what to call when the statement is over
   * @throws why it must not be sent
   */
  enter (sql: string): Promise<() => Promise<void> | void>
  /** Is told what it has failed with, and gives it back. */
  failed (error: unknown): Promise<unknown>
}

/** A connection as somebody sees it to whom Kysely gives it: what is sent on it goes past its provider. */
export function providedConnection (connection: DatabaseConnection, provider: Provider): DatabaseConnection {
  async function * stream<T> (sql: string, run: () => AsyncIterableIterator<T>): AsyncIterableIterator<T> {
    const release = await provider.enter(sql)
    try {
      yield * telling(run(), provider)
    } finally {
      await release()
    }
  }
  const own: Pick<DatabaseConnection, 'executeQuery' | 'streamQuery'> = {
    async executeQuery (query, ...options) {
      const release = await provider.enter(query.sql)
      try {
        return await connection.executeQuery<never>(query, ...options).catch(async (error: unknown) => { throw await provider.failed(error) })
      } finally {
        await release()
      }
    },
    streamQuery: (query, ...options) => stream(query.sql, () => connection.streamQuery(query, ...options))
  }
  return new Proxy(connection, {
    get (target, key) {
      const value: unknown = Reflect.get(Object.hasOwn(own, key) ? own : target, key)
      return typeof value === 'function' ? value.bind(target) as unknown : value
    }
  })
}

/** Who has given his connection to what runs now. */
const giving = new AsyncLocalStorage<{ readonly giver: object, isOver: boolean }>()

/** Runs what is given the connection of `giver` until it is over. */
export async function given<T> (giver: object, run: () => Promise<T>): Promise<T> {
  const gift = { giver, isOver: false }
  try {
    return await giving.run(gift, run)
  } finally {
    gift.isOver = true
  }
}

/** Whether what runs now has the connection of `giver`: whatever asks it for another turn there waits for itself. */
export function isGiven (giver: object): boolean {
  const gift = giving.getStore()
  return gift?.giver === giver && !gift.isOver
}

/** Passes rows on, and tells what they fail with before anything else happens on their connection: the database may have to be asked. */
export async function * telling<T> (rows: AsyncIterableIterator<T>, listener: Pick<Provider, 'failed'>): AsyncIterableIterator<T> {
  try {
    yield * rows
  } catch (error) {
    throw await listener.failed(error)
  }
}
