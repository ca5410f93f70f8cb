import { TransactionPropagation, TransactionStateError, ValidationError } from '@mikro-orm/core'
import type { ConnectionType, EntityManager, EventSubscriber, ForkOptions, Transaction, TransactionOptions } from '@mikro-orm/core'
import type { OutcomeCallbacks } from '../events/callbacks.ts'
import { flushInTurn } from './flush.ts'
import {
  alone, currentNesting, inSavepoint, isAutocommit, isOwn, waitingFor, type Binding, type Nesting, type SessionOwner
} from './nesting.ts'
import type { Outcome } from '../types.ts'
import type { SessionDatabase } from '../events/signals.ts'
import { Mutex } from '../transaction/mutex.ts'
import type { SessionTransactions } from './session-transactions.ts'

/** What is outside the transaction that runs. All others but NESTED join it. */
const ALONE = new Set<unknown>([TransactionPropagation.REQUIRES_NEW, TransactionPropagation.NOT_SUPPORTED])

/** MikroORM's own names for savepoints are the same for siblings, so these take turns; and so does what would end up inside one. */
const NESTED = new WeakMap<EntityManager, Mutex>()

function mutexOf (em: EntityManager): Mutex {
  const mutex = NESTED.get(em) ?? new Mutex()
  NESTED.set(em, mutex)
  return mutex
}

const BINDING = Symbol('fastify-scoped-db.binding')
const NESTING = Symbol('fastify-scoped-db.nesting')
const FINISH = Symbol('fastify-scoped-db.finish')
const FLUSH = Symbol('fastify-scoped-db.flush')
const ENDED = Symbol('fastify-scoped-db.ended')

/**
 * Has `em.fork()` make EntityManagers that can be bound to a scope: still of the driver's own EntityManager class. Those that are not
 * bound - forks that the user makes - behave as that does. Only forks of the ORM's own have its filters, schema and session context.
 */
export function forkScoped (em: EntityManager): void {
  Object.defineProperty(em, 'constructor', { value: defineScopedClass(em.constructor as EntityManagerClass) })
}

/** Makes a fork the EntityManager of a scope, to which its statements and transactions belong from now on. */
export function bindToScope (em: EntityManager, database: SessionDatabase, owner: SessionOwner, transactions: SessionTransactions): void {
  const bound: BoundEntityManager = em
  bound[BINDING] = { database, owner, transactions, nesting: undefined }
  if (transactions.context !== undefined) em.setTransactionContext(transactions.context)
}

/** What waits for the end of the transaction that a session is in now: an `em.transactional()`, or else the scope. */
export function callbacksOf (session: EntityManager): OutcomeCallbacks {
  return waitingFor((session as BoundEntityManager)[BINDING] as Binding)
}

/** Remembers what the flushes of sessions have changed. It can be registered any number of times. */
export const changeRecorder: EventSubscriber = {
  async afterFlush ({ em, uow }) {
    const binding = (em as BoundEntityManager)[BINDING]
    const changeSets = uow.getChangeSets()
    if (binding !== undefined && changeSets.length > 0) waitingFor(binding).changesOf(binding.database).record(changeSets)
  }
}

/** With autocommit MikroORM sees a context but there is no transaction: what each propagation means when there is none. */
function firstPropagation (propagation: NonNullable<TransactionOptions['propagation']>): NonNullable<TransactionOptions['propagation']> {
  switch (propagation) {
    case TransactionPropagation.REQUIRED:
    case TransactionPropagation.REQUIRES_NEW:
      return TransactionPropagation.NESTED
    case TransactionPropagation.SUPPORTS:
    case TransactionPropagation.NEVER:
      return TransactionPropagation.NOT_SUPPORTED
    case TransactionPropagation.MANDATORY:
      throw TransactionStateError.requiredTransactionNotFound(propagation)
    default:
      return propagation
  }
}

type EntityManagerClass = new (...args: ConstructorParameters<typeof EntityManager>) => EntityManager
type BoundEntityManager = EntityManager & { [BINDING]?: Binding, [NESTING]?: Nesting }

function defineScopedClass (Base: EntityManagerClass): EntityManagerClass {
  class ScopedEntityManager extends Base {
    declare [BINDING]?: Binding
    declare [NESTING]?: Nesting

    /** Every operation starts here: refuses it once the scope is closed, and finds the fork of the nested transaction that runs. */
    override getContext (validate?: boolean): this {
      const binding = this[BINDING]
      if (binding === undefined) return super.getContext(validate)
      binding.transactions.assertOpen()
      return (currentNesting(binding)?.em ?? this) as this
    }

    override getConnection (type?: ConnectionType): ReturnType<EntityManager['getConnection']> {
      const connection = super.getConnection(type)
      const binding = this[BINDING]
      if (binding === undefined) return connection
      binding.transactions.assertOpen()
      return binding.transactions.guard(connection)
    }

    override fork (options?: ForkOptions): this {
      const fork = super.fork(options)
      const binding = this[BINDING]
      if (binding?.nesting !== undefined) {
        fork[BINDING] = binding
        fork[NESTING] = binding.nesting
      }
      return fork
    }

    /** MikroORM tells the fork of a nested transaction that it has begun: from now on the session is that fork. */
    override setTransactionContext (context: Transaction): void {
      const nesting = this[NESTING]
      if (nesting !== undefined) nesting.em = this
      super.setTransactionContext(context)
    }

    override isInTransaction (): boolean {
      const context = super.getTransactionContext()
      return context !== undefined && !isAutocommit(this[BINDING], context)
    }

    override async transactional<T> (use: (em: this) => T | Promise<T>, options: TransactionOptions = {}): Promise<T> {
      const binding = this[BINDING]
      if (binding === undefined) return await super.transactional(use, options)
      const em = this.getContext()
      const propagation = options.propagation ?? TransactionPropagation.NESTED
      if (!em.isInTransaction()) {
        return await alone(binding, () => super.transactional(use, { ...options, propagation: firstPropagation(propagation) }))
      }
      if (ALONE.has(propagation)) return await alone(binding, () => super.transactional(use, options))
      if (propagation !== TransactionPropagation.NESTED) return await super.transactional(use, options)
      const end = await mutexOf(em).acquire()
      try {
        // A savepoint that rolls back would take entities with it that were added before it; SQLAlchemy flushes first too.
        if (binding.transactions.isAutomatic) await em[FLUSH]()
        return await inSavepoint(binding, () => super.transactional(use, options))
      } finally {
        end()
      }
    }

    override async flush (): Promise<void> {
      const em = this.getContext()
      const end = NESTED.has(em) ? await mutexOf(em).acquire() : undefined
      try {
        await this[FLUSH]()
      } finally {
        end?.()
      }
      if (!em.isInTransaction()) this[ENDED]('commit')
    }

    /** In plain MikroORM the outcome is there with each flush, and with the end of each transaction begun by hand. */
    [ENDED] (outcome: Outcome): void {
      const binding = this[BINDING]
      if (binding === undefined || binding.transactions.isAutomatic || currentNesting(binding) !== undefined) return
      binding.owner.ended(binding.database, binding.owner.callbacks, outcome)
    }

    async [FLUSH] (): Promise<void> {
      try {
        await flushInTurn(this.getContext(), () => super.flush())
      } catch (error) {
        // Part of it may be written, and MikroORM has forgotten the rest.
        const binding = this[BINDING]
        if (isOwn(binding, super.getTransactionContext())) binding.transactions.doom(error)
        throw error
      }
    }

    /** MikroORM does this to suspend a transaction (`REQUIRES_NEW`): the session would then write outside any. */
    override resetTransactionContext (): void {
      const own = this[BINDING]?.transactions.context
      if (own === undefined) super.resetTransactionContext()
      else this.setTransactionContext(own)
    }

    override async begin (options: TransactionOptions = {}): Promise<void> {
      const binding = this[BINDING]
      if (isOwn(binding, super.getTransactionContext()) && binding.transactions.isAutomatic) await binding.transactions.begin()
      else await super.begin(options)
    }

    override async commit (): Promise<void> {
      await this[FINISH]('commit', () => super.commit())
    }

    override async rollback (): Promise<void> {
      await this[FINISH]('rollback', async () => {
        const context = super.getTransactionContext()
        // A COMMIT that failed has rolled back, but MikroORM has it rolled back again.
        if (context === undefined || this[BINDING]?.transactions.hasEnded(context) !== true) await super.rollback()
      })
    }

    /** The scope's own transaction is finished by the scope, one that MikroORM has begun by MikroORM. */
    async [FINISH] (outcome: Outcome, begun: () => Promise<void>): Promise<void> {
      const binding = this[BINDING]
      const context = super.getTransactionContext()
      if (isAutocommit(binding, context)) throw ValidationError.transactionRequired()
      if (isOwn(binding, context)) {
        await binding.owner[outcome]()
        return
      }
      await begun()
      // MikroORM leaves no context, and would write outside any transaction from here on.
      this.resetTransactionContext()
      this[ENDED](outcome)
    }
  }
  return ScopedEntityManager
}
