import type { CompiledQuery, QueryResult } from 'kysely'
import type { Combined, Destination } from '../drivers/contracts.ts'
import { driverError, errorKindOfDriver } from '../drivers/errors.ts'
import { isOwnError } from '../errors/own-error.ts'
import { rawQuery } from '../drivers/sql/raw-query.ts'
import type { PooledConnection } from './pooled-connection.ts'
import type { SilenceWatch } from './silence-watch.ts'

/** What is needed to send BEGIN and a statement together. */
interface Together {
  readonly connection: PooledConnection
  /** What begins the transaction. */
  readonly begin: readonly string[]
  readonly generatedColumn: Destination['generatedColumn']
  /** Looks whether the server works on it: the statement may wait for a lock for as long as it likes. */
  readonly watch: SilenceWatch
}

/** What is about to be the first statement of a transaction, so that BEGIN can travel with it: one round trip less. */
export class FirstStatement {
  /** Whether it still has a place in the transaction. */
  readonly hasPlace: () => boolean
  readonly #query: CompiledQuery
  readonly #sending: () => void
  #isSent = false
  /** The same on each connection: what it has given up once it waits for. */
  #watch: SilenceWatch | undefined
  #answer: Promise<QueryResult<unknown>> | undefined
  #doubt: unknown

  /** @param sending is called when it is sent */
  constructor (query: CompiledQuery, hasPlace: () => boolean, sending: () => void) {
    this.hasPlace = hasPlace
    this.#query = query
    this.#sending = sending
  }

  /** What it has been answered together with BEGIN, be it an error. */
  get answer (): Promise<QueryResult<unknown>> | undefined {
    return this.#answer
  }

  /** An error that does not say whether it was carried out. */
  get doubt (): unknown {
    return this.#doubt
  }

  /**
   * Sends both. Where that has failed with the connection, BEGIN is to prove the next one; after a silence that one has told its name, which is proof, and
   * both are sent again: what is silent on it, too, may be slow.
   * @returns whether the transaction has begun; otherwise BEGIN is to be sent by itself
   * @throws what says that the connection is lost, and with it whatever was begun
   */
  async sendWithBegin ({ connection, begin, generatedColumn, watch: own }: Together): Promise<boolean> {
    const watch = this.#watch ??= own
    if (this.#isSent && !watch.hasGivenUp) return false
    const identified = watch.identified(connection)
    if (identified !== undefined) await identified
    const combined = connection.driver.beginWith(begin, connection.tagged(this.#query), { connection: connection.connection, version: watch.versionOf(connection), generatedColumn })
    if (combined === undefined || !this.hasPlace()) return false
    this.#isSent = true
    this.#sending()
    try {
      const answer = await watch.over(connection, () => connection.sendTogether([...begin.map(sql => rawQuery(sql)), this.#query], combined))
      if (answer === undefined) await connection.send(rawQuery(ROLLBACK))
      else this.#answer = Promise.resolve(answer)
      return answer !== undefined
    } catch (error) {
      const kind = errorKindOfDriver(error as Error)
      // Our own: the connection was destroyed.
      if (kind === 'connection' || isOwnError(error as Error)) throw error
      const isRolledBack = kind !== undefined && connection.driver.rollsBackWith.has(kind)
      if (!isRolledBack && !await hasBegun(connection, combined)) return false
      combined.restore(error as object)
      if (kind === 'interrupted') this.#doubt = error
      const refused = Promise.reject(driverError(error as Error))
      // Whoever has sent it is told, later.
      refused.catch(() => undefined)
      this.#answer = refused
      return true
    }
  }
}

/** The same in all databases that take both together. */
const ROLLBACK = 'rollback'

/** A text that is refused as a whole has begun nothing. */
async function hasBegun (connection: PooledConnection, { hasBegun }: Combined): Promise<boolean> {
  if (hasBegun === undefined) return connection.status !== 'none'
  const { rows } = await connection.send(rawQuery<{ begun: unknown }>(hasBegun))
  return Number(rows[0]?.begun) === 1
}
