import type { Transaction } from '@mikro-orm/core'
import type { Compilable, CompiledQuery, Kysely, KyselyPlugin, QueryResult } from 'kysely'
import { propsWith, type KyselyClass } from './kysely-on.ts'
import { LazyQueryExecutor, type ExecutingTransaction, type QueryOptions } from './lazy-query-executor.ts'
import { RECOVERY } from './statement.ts'
import type { StatementRunner } from './statement-runner.ts'

/** What a KyselyTransaction leaves to the transaction that it stands for. */
export interface UnderlyingTransaction extends ExecutingTransaction {
  /** Whether statements can begin it by themselves. */
  readonly isAutomatic: boolean
  /** Whether it has begun, or is beginning. */
  readonly hasBegun: boolean
  /** Whether it has something to tell row level security, which a transaction of Kysely's own would not know. */
  readonly needsTransaction: boolean
  /** Whether what has gone through may still be rolled back, or was rolled back at its end. */
  readonly hasUncommitted: boolean
  /** Makes it fit for nothing but a rollback, because of `error`. */
  doom (error: unknown): void
  /** Without telling MikroORM's subscribers: MikroORM does. */
  commitQuietly (): Promise<void>
  rollbackQuietly (): Promise<void>
}

/**
 * Makes the object that MikroORM takes for a Kysely transaction: a whole Kysely, so that `em.getKysely()` works, whose
 * executor leaves it to `transaction` where each statement goes.
 */
export function createKyselyTransaction (client: Kysely<unknown>, transaction: UnderlyingTransaction): Transaction {
  const KyselyTransaction = classFor(client.constructor as KyselyClass)
  return new KyselyTransaction(client, transaction)
}

const UNDERLYING = Symbol('fastify-scoped-db.underlying')

/** The transaction that a context stands for, or that it has a savepoint in. */
export function transactionOf (context: Transaction | undefined): UnderlyingTransaction | undefined {
  return (context as { readonly [UNDERLYING]?: UnderlyingTransaction } | undefined)?.[UNDERLYING]
}

const classes = new WeakMap<KyselyClass, ReturnType<typeof defineClass>>()

function classFor (Base: KyselyClass): ReturnType<typeof defineClass> {
  let Class = classes.get(Base)
  if (Class === undefined) {
    Class = defineClass(Base)
    classes.set(Base, Class)
  }
  return Class
}

function defineClass (Base: KyselyClass) {
  return class KyselyTransaction extends Base {
    readonly #client: Kysely<unknown>
    readonly #transaction: UnderlyingTransaction
    readonly #executor: LazyQueryExecutor

    constructor (client: Kysely<unknown>, transaction: UnderlyingTransaction) {
      const executor = new LazyQueryExecutor(client.getExecutor(), transaction)
      super(propsWith(executor))
      this.#executor = executor
      this.#client = client
      this.#transaction = transaction
    }

    get [UNDERLYING] (): UnderlyingTransaction {
      return this.#transaction
    }

    override get isTransaction (): boolean {
      return this.#transaction.isAutomatic
    }

    /** What MikroORM calls for each statement. */
    override executeQuery<R> (query: CompiledQuery<R> | Compilable<R>, options?: QueryOptions): Promise<QueryResult<R>> {
      return this.#executor.executeQuery('compile' in query ? query.compile() : query, options)
    }

    /** MikroORM asks before it commits. */
    get isRolledBack (): boolean {
      return false
    }

    commit () {
      return command(() => this.#transaction.commitQuietly())
    }

    rollback () {
      return command(() => this.#transaction.rollbackQuietly())
    }

    savepoint (name: string) {
      return this.#command(commands => commands.savepoint(name))
    }

    releaseSavepoint (name: string) {
      return this.#command(commands => commands.releaseSavepoint(name))
    }

    rollbackToSavepoint (name: string) {
      return this.#command(commands => commands.rollbackToSavepoint(name).catch((error: unknown) => {
        // MikroORM tells nobody, and what was to be thrown away is still there.
        this.#transaction.doom(error)
        throw error
      }), RECOVERY)
    }

    override withPlugin (plugin: KyselyPlugin) {
      return this.#with(this.#client.withPlugin(plugin))
    }

    override withoutPlugins () {
      return this.#with(this.#client.withoutPlugins())
    }

    override withSchema (schema: string) {
      return this.#with(this.#client.withSchema(schema))
    }

    override transaction () {
      this.#assertNoTransaction()
      return this.#client.transaction()
    }

    override startTransaction () {
      this.#assertNoTransaction()
      return this.#client.startTransaction()
    }

    #assertNoTransaction () {
      this.#transaction.statements.assertOpen()
      if (this.isTransaction) throw new Error('This Kysely is inside the transaction of its scope already: nest with em.transactional()')
      if (this.#transaction.needsTransaction) throw new Error('A transaction of Kysely\'s own would know nothing of the session context (row level security): use em.transactional()')
    }

    #command (...control: Parameters<StatementRunner['control']>) {
      return command(async () => {
        await this.#transaction.statements.control(...control)
        return this.#with(this.#client)
      })
    }

    #with (client: Kysely<unknown>): Kysely<unknown> {
      return new KyselyTransaction(client, this.#transaction)
    }
  }
}

/** Kysely's commands run when `execute()` is called on them. */
function command<T> (run: () => Promise<T>) {
  return { execute: run }
}
