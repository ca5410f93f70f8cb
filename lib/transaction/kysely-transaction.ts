import type { Transaction } from '@mikro-orm/core'
import type { ControlledTransaction, Kysely, KyselyPlugin, KyselyProps } from 'kysely'
import { LazyExecutor, type StatementRunner } from './query-executor.ts'

/** What a context asks of its transaction. */
export interface ContextTransaction extends StatementRunner {
  /** Whether statements can begin it by themselves. */
  readonly isAutomatic: boolean
  /** @throws ScopeClosedError once closed */
  assertOpen (): void
  savepoint (run: (trx: ControlledTransaction<unknown>) => Promise<unknown>): Promise<void>
  /** Without telling MikroORM's subscribers: MikroORM does. */
  commitQuietly (): Promise<void>
  rollbackQuietly (): Promise<void>
}

type KyselyClass = new (props: KyselyProps) => Kysely<unknown>

/**
 * Makes the object that MikroORM takes for a Kysely transaction: a whole Kysely, so that `em.getKysely()` works, whose
 * executor leaves it to `transaction` where each statement goes.
 *
 * The class comes from the client, so that it is the Kysely that the application's driver uses, whichever that is.
 */
export function createContext (client: Kysely<unknown>, transaction: ContextTransaction): Transaction {
  const Context = contextClass(client.constructor as KyselyClass)
  return new Context(client, transaction)
}

const classes = new WeakMap<KyselyClass, ReturnType<typeof defineContext>>()

function contextClass (Base: KyselyClass): ReturnType<typeof defineContext> {
  let Context = classes.get(Base)
  if (Context === undefined) {
    Context = defineContext(Base)
    classes.set(Base, Context)
  }
  return Context
}

function defineContext (Base: KyselyClass) {
  return class TransactionContext extends Base {
    readonly #client: Kysely<unknown>
    readonly #transaction: ContextTransaction

    constructor (client: Kysely<unknown>, transaction: ContextTransaction) {
      super(propsFor(client, transaction))
      this.#client = client
      this.#transaction = transaction
    }

    override get isTransaction (): boolean {
      return this.#transaction.isAutomatic
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
      return this.#command(trx => trx.savepoint(name).execute())
    }

    releaseSavepoint (name: string) {
      return this.#command(trx => trx.releaseSavepoint(name as never).execute())
    }

    rollbackToSavepoint (name: string) {
      return this.#command(trx => trx.rollbackToSavepoint(name as never).execute())
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
      this.#transaction.assertOpen()
      if (this.isTransaction) throw new Error('This Kysely is inside the transaction of its scope already: nest with em.transactional()')
    }

    #command (run: Parameters<ContextTransaction['savepoint']>[0]) {
      return command(async () => {
        await this.#transaction.savepoint(run)
        return this.#with(this.#client)
      })
    }

    #with (client: Kysely<unknown>): Kysely<unknown> {
      return new TransactionContext(client, this.#transaction)
    }
  }
}

function propsFor (client: Kysely<unknown>, transaction: ContextTransaction): KyselyProps {
  const executor = new LazyExecutor(client.getExecutor(), transaction)
  return { config: unused, driver: unused, dialect: unused, executor }
}

/** The context overrides all that would use them; what slips through fails loudly. */
const unused = new Proxy({}, {
  get (_, key) {
    throw new Error(`fastify-scoped-db: Kysely's ${String(key)} is not available inside a scope`)
  }
}) as KyselyProps['config'] & KyselyProps['driver'] & KyselyProps['dialect']

/** Kysely's commands run when `execute()` is called on them. */
function command<T> (run: () => Promise<T>) {
  return { execute: run }
}
