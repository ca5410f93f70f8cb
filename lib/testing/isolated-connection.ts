import type { CompiledQuery, DatabaseConnection, Driver, Kysely, KyselyProps, QueryResult } from 'kysely'
import { RollbackOnlyError } from '../errors/errors.ts'
import type { KyselyClass } from '../transaction/kysely-on.ts'
import { beginByKysely } from '../transaction/transaction-commands.ts'
import type { Holder } from './connection-lock.ts'
import { answered, type OuterTransaction, type Savepoint } from './outer-transaction.ts'

/**
 * A Kysely that works as `client` does, except that all its connections are isolated ones of `outer`. Its class is the client's.
 */
export function isolatedClient (client: Kysely<unknown>, outer: OuterTransaction): Kysely<unknown> {
  const executor = client.getExecutor().withConnectionProvider({ provideConnection: consumer => IsolatedConnection.provide(outer, consumer) })
  const Client = client.constructor as KyselyClass
  // MikroORM asks for nothing of the configuration and the dialect, which are the client's secret.
  const isolated = new Client({ config: {}, dialect: {}, driver: DRIVER, executor } as unknown as KyselyProps)
  beginByKysely(isolated)
  return isolated
}

/** What Kysely asks of a driver for transactions. An isolation level cannot be set, nor can writing be refused, inside the outer one. */
const DRIVER: Partial<Driver> = {
  beginTransaction: connection => isolated(connection).beginTransaction(),
  commitTransaction: connection => isolated(connection).commitTransaction(),
  rollbackTransaction: connection => isolated(connection).rollbackTransaction(),
  savepoint: (connection, name) => isolated(connection).savepoint(name),
  releaseSavepoint: (connection, name) => isolated(connection).releaseSavepoint(name),
  rollbackToSavepoint: (connection, name) => isolated(connection).rollbackToSavepoint(name)
}

const isolated = (connection: DatabaseConnection) => connection as IsolatedConnection

interface NamedSavepoint {
  /** What whoever has set it calls it; that of the transaction has no name. */
  readonly name: string | undefined
  readonly savepoint: Savepoint
}

/**
 * What a user of the isolated database takes for a connection of a pool. Its transactions are savepoints of the outer one, and
 * a statement without a transaction has a savepoint of its own, since one that fails must not doom the outer transaction.
 */
export class IsolatedConnection implements DatabaseConnection {
  readonly cancelQuery?: NonNullable<DatabaseConnection['cancelQuery']>
  readonly #outer: OuterTransaction
  readonly #holder: Holder
  /** Those that are open: first the one that stands for the transaction, if there is one. */
  #savepoints: NamedSavepoint[] = []

  private constructor (outer: OuterTransaction, holder: Holder) {
    this.#outer = outer
    this.#holder = holder
    if (outer.connection.cancelQuery !== undefined) this.cancelQuery = () => this.#cancel()
  }

  /** Provides one as a pool would: whatever is still open at the end is rolled back. */
  static async provide<T> (outer: OuterTransaction, consumer: (connection: IsolatedConnection) => Promise<T>): Promise<T> {
    const holder = await outer.lock.acquire()
    const connection = new IsolatedConnection(outer, holder)
    try {
      return await consumer(connection)
    } finally {
      // Whoever was forced to let go of the connection does not wait for the server. Whoever is next does.
      void connection.rollbackTransaction().catch(() => undefined).finally(() => outer.lock.release(holder))
    }
  }

  async executeQuery<R> (query: CompiledQuery): Promise<QueryResult<R>> {
    return await this.#asCommand('statement', async () => {
      this.#assertNotLost()
      if (this.#savepoints.length > 0) return await this.#outer.connection.executeQuery<R>(query)
      return await this.#alone(() => this.#outer.connection.executeQuery<R>(query))
    })
  }

  async * streamQuery<R> (query: CompiledQuery, chunkSize: number): AsyncIterableIterator<QueryResult<R>> {
    const command = await this.#outer.lock.startCommand(this.#holder, 'statement')
    try {
      this.#assertNotLost()
      const rows = this.#outer.connection.streamQuery<R>(query, chunkSize)
      command.close = async () => await rows.return?.()
      yield * rows
    } finally {
      command.end()
    }
    // The end of the rows may be that of the isolation.
    this.#outer.lock.assertOpen()
  }

  async beginTransaction (): Promise<void> {
    await this.#asCommand('statement', () => this.#set(undefined))
  }

  /** @throws RollbackOnlyError when something that encloses it was rolled back meanwhile */
  async commitTransaction (): Promise<void> {
    await this.#asCommand('end', () => this.#release(0))
  }

  /** What is not open any more needs no rollback. */
  async rollbackTransaction (): Promise<void> {
    if (this.#savepoints.length > 0) await this.#asCommand('end', () => this.#undo())
  }

  async savepoint (name: string): Promise<void> {
    await this.#asCommand('statement', () => this.#set(name))
  }

  async releaseSavepoint (name: string): Promise<void> {
    await this.#asCommand('end', () => this.#release(this.#find(name)))
  }

  async rollbackToSavepoint (name: string): Promise<void> {
    await this.#asCommand('end', async () => {
      this.#assertNotLost()
      this.#savepoints.length = this.#find(name) + 1
      await this.#rollBackTo(this.#savepoints.at(-1) as NamedSavepoint)
    })
  }

  async #cancel (): Promise<void> {
    if (this.#outer.lock.command?.holder === this.#holder) await this.#outer.cancel()
  }

  async #asCommand<T> (what: 'statement' | 'end', use: () => Promise<T>): Promise<T> {
    const command = await this.#outer.lock.startCommand(this.#holder, what)
    try {
      return await use()
    } finally {
      command.end()
    }
  }

  async #alone<T> (run: () => Promise<T>): Promise<T> {
    await this.#set(undefined)
    const result = await run().catch(async error => {
      await this.#undo().catch(() => undefined)
      throw error
    })
    await this.#release(0)
    return result
  }

  async #set (name: string | undefined): Promise<void> {
    this.#savepoints.push({ name, savepoint: await this.#outer.savepoints.set() })
  }

  /** Releases one, and those that were set after it. */
  async #release (index: number): Promise<void> {
    this.#assertNotLost()
    const released = this.#savepoints.splice(index)
    try {
      await this.#outer.savepoints.release(...released.map(({ savepoint }) => savepoint))
    } catch (error) {
      await this.#rollBackTo(released[0] as NamedSavepoint)
      throw error
    }
  }

  /** Rolls back to the first, which is then gone. */
  async #undo (): Promise<void> {
    const [first] = this.#savepoints.splice(0)
    if (first === undefined || first.savepoint.state === 'lost') return
    await this.#rollBackTo(first)
    await this.#outer.savepoints.release(first.savepoint)
  }

  /** @throws IsolationLostError when there is nothing to roll back to: some databases commit at DDL, and after a deadlock all is rolled back */
  async #rollBackTo ({ savepoint }: NamedSavepoint): Promise<void> {
    try {
      await this.#outer.savepoints.rollbackTo(savepoint)
    } catch (error) {
      throw this.#outer.lose('the database has ended it by itself', error)
    }
  }

  #find (name: string): number {
    const index = this.#savepoints.findLastIndex(savepoint => savepoint.name === name)
    if (index === -1) throw new Error(`There is no savepoint ${name}`)
    return index
  }

  #assertNotLost (): void {
    if (this.#savepoints.some(({ savepoint }) => savepoint.state === 'lost')) throw answered(new RollbackOnlyError('what it is inside of was rolled back'))
  }
}
