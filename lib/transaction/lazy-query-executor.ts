import type { CompiledQuery, ConnectionProvider, DatabaseConnection, KyselyPlugin, QueryExecutor } from 'kysely'
import type { Driver } from '../drivers/contracts.ts'
import { driverOf } from '../drivers/drivers.ts'
import { remember } from './prepared-query.ts'
import { Statement } from './statement.ts'
import type { StatementRunner } from './statement-runner.ts'
import type { StatementUsage } from './usage.ts'

type QueryOptions = Parameters<QueryExecutor['executeQuery']>[1]
type StreamOptions = Parameters<QueryExecutor['stream']>[2]
type OperationNode = Parameters<QueryExecutor['transformQuery']>[0]
type QueryId = Parameters<QueryExecutor['transformQuery']>[1]

/** Compiles as the client does, and leaves it to the runner where to execute. */
export class LazyQueryExecutor implements QueryExecutor {
  readonly #compiler: QueryExecutor
  readonly #runner: StatementRunner
  readonly #usage: StatementUsage | undefined
  readonly #driver: Driver

  constructor (compiler: QueryExecutor, runner: StatementRunner, usage: StatementUsage | undefined) {
    this.#compiler = compiler
    this.#runner = runner
    this.#usage = usage
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

  executeQuery<R> (query: CompiledQuery<R>, options?: QueryOptions) {
    remember(query)
    const execute = (sending?: () => void) =>
      this.#runner.execute(new Statement(query.sql, this.#driver), executor => this.#withPlugins(executor).executeQuery(query, options), sending)
    return this.#usage === undefined ? execute() : this.#usage.measure(execute)
  }

  stream<R> (query: CompiledQuery<R>, chunkSize: number, options?: StreamOptions) {
    remember(query)
    const stream = (sending?: () => void) => this.#runner.stream(new Statement(query.sql, this.#driver), executor => {
      sending?.()
      return this.#withPlugins(executor).stream(query, chunkSize, options)
    })
    return this.#usage === undefined ? stream() : this.#usage.measureStream(stream)
  }

  provideConnection<T> (consumer: (connection: DatabaseConnection) => Promise<T>): Promise<T> {
    return this.#runner.provideConnection(consumer)
  }

  withConnectionProvider (provider: ConnectionProvider): QueryExecutor {
    return this.#compiler.withConnectionProvider(provider)
  }

  withPlugin (plugin: KyselyPlugin): QueryExecutor {
    return new LazyQueryExecutor(this.#compiler.withPlugin(plugin), this.#runner, this.#usage)
  }

  withPlugins (plugins: readonly KyselyPlugin[]): QueryExecutor {
    return new LazyQueryExecutor(this.#compiler.withPlugins(plugins), this.#runner, this.#usage)
  }

  withPluginAtFront (plugin: KyselyPlugin): QueryExecutor {
    return new LazyQueryExecutor(this.#compiler.withPluginAtFront(plugin), this.#runner, this.#usage)
  }

  withoutPlugins (): QueryExecutor {
    return new LazyQueryExecutor(this.#compiler.withoutPlugins(), this.#runner, this.#usage)
  }

  #withPlugins (executor: QueryExecutor): QueryExecutor {
    const { plugins } = this.#compiler
    return plugins.length === 0 && executor.plugins.length === 0 ? executor : executor.withoutPlugins().withPlugins(plugins)
  }
}
