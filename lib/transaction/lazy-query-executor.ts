import type { CompiledQuery, ConnectionProvider, DatabaseConnection, KyselyPlugin, QueryExecutor, QueryResult } from 'kysely'
import type { Driver } from '../drivers/contracts.ts'
import { driverOf } from '../drivers/drivers.ts'
import type { Origin } from '../diagnostics/messages.ts'
import { remember } from './prepared-query.ts'
import { Statement } from './statement.ts'
import type { StatementRunner } from './statement-runner.ts'
import type { StatementUsage } from './usage.ts'

export type QueryOptions = Parameters<QueryExecutor['executeQuery']>[1]
type StreamOptions = Parameters<QueryExecutor['stream']>[2]
type OperationNode = Parameters<QueryExecutor['transformQuery']>[0]
type QueryId = Parameters<QueryExecutor['transformQuery']>[1]

/** The transaction that it leaves its statements to. */
export interface ExecutingTransaction {
  readonly statements: StatementRunner
  /** Counts them, if anybody wants to know. */
  readonly usage: StatementUsage | undefined
  readonly origin: Origin
}

/** Compiles as the client does, and leaves it to the runner where to execute. */
export class LazyQueryExecutor implements QueryExecutor {
  readonly #compiler: QueryExecutor
  readonly #transaction: ExecutingTransaction
  readonly #driver: Driver

  constructor (compiler: QueryExecutor, transaction: ExecutingTransaction) {
    this.#compiler = compiler
    this.#transaction = transaction
    this.#driver = driverOf(compiler)
  }

  get adapter () {
    return this.#compiler.adapter
  }

  get plugins () {
    return this.#compiler.plugins
  }

  transformQuery<T extends OperationNode> (node: T, queryId: QueryId): T {
    return this.#compiler.transformQuery(node, queryId)
  }

  compileQuery<R = unknown> (node: OperationNode, queryId: QueryId): CompiledQuery<R> {
    return this.#compiler.compileQuery(node, queryId)
  }

  executeQuery<R> (query: CompiledQuery<R>, options?: QueryOptions): Promise<QueryResult<R>> {
    try {
      remember(query, this.#transaction.origin.watch)
    } catch (error) {
      const repeated = error as Error
      return Promise.reject(repeated)
    }
    const { usage } = this.#transaction
    return usage === undefined ? this.#execute(query, options) : usage.measure(sending => this.#execute(query, options, sending))
  }

  #execute<R> (query: CompiledQuery<R>, options?: QueryOptions, sending?: () => void): Promise<QueryResult<R>> {
    const { statements } = this.#transaction
    const statement = new Statement(query.sql, this.#driver)
    if (options?.signal !== undefined) return statements.execute(statement, executor => this.#withPlugins(executor).executeQuery(query, options), sending)
    const result = statements.send(statement, query, sending)
    return this.plugins.length === 0 ? result : this.#transformed(result, query)
  }

  /** As its plugins have it. */
  async #transformed<R> (sent: Promise<QueryResult<R>>, { queryId }: CompiledQuery<R>): Promise<QueryResult<R>> {
    let result: QueryResult<unknown> = await sent
    for (const plugin of this.plugins) result = await plugin.transformResult({ queryId, result: result as QueryResult<never> })
    return result as QueryResult<R>
  }

  stream<R> (query: CompiledQuery<R>, chunkSize: number, options?: StreamOptions) {
    remember(query, this.#transaction.origin.watch)
    const stream = (sending?: () => void) => this.#transaction.statements.stream(new Statement(query.sql, this.#driver), executor => {
      sending?.()
      return this.#withPlugins(executor).stream(query, chunkSize, options)
    })
    const { usage } = this.#transaction
    return usage === undefined ? stream() : usage.measureStream(stream)
  }

  provideConnection<T> (consumer: (connection: DatabaseConnection) => Promise<T>): Promise<T> {
    return this.#transaction.statements.provideConnection(consumer)
  }

  withConnectionProvider (provider: ConnectionProvider): QueryExecutor {
    return this.#compiler.withConnectionProvider(provider)
  }

  withPlugin (plugin: KyselyPlugin): QueryExecutor {
    return new LazyQueryExecutor(this.#compiler.withPlugin(plugin), this.#transaction)
  }

  withPlugins (plugins: readonly KyselyPlugin[]): QueryExecutor {
    return new LazyQueryExecutor(this.#compiler.withPlugins(plugins), this.#transaction)
  }

  withPluginAtFront (plugin: KyselyPlugin): QueryExecutor {
    return new LazyQueryExecutor(this.#compiler.withPluginAtFront(plugin), this.#transaction)
  }

  withoutPlugins (): QueryExecutor {
    return new LazyQueryExecutor(this.#compiler.withoutPlugins(), this.#transaction)
  }

  #withPlugins (executor: QueryExecutor): QueryExecutor {
    const { plugins } = this.#compiler
    return plugins.length === 0 && executor.plugins.length === 0 ? executor : executor.withoutPlugins().withPlugins(plugins)
  }
}
