import { TransactionPropagation } from '@mikro-orm/core'
import type { AnyEntity, ConnectionType, EntityManager, ForkOptions, SessionContext, Transaction, TransactionOptions } from '@mikro-orm/core'
import { persistAgain, removeAgain } from './ask-again.ts'
import { flushInTurn, interruptFlush, lateChanges } from './flush.ts'
import { FLUSH } from './flush-all.ts'
import { flushListener } from './flush-listener.ts'
import { useDriver } from './guarded-connection.ts'
import { handOver, takeEntities } from './hand-over.ts'
import { alone, runAndFlush } from './nested-transaction.ts'
import { assertNotOver, BINDING, currentNesting, inNesting, instancesOf, isInMain, NESTING, type Binding, type BoundEntityManager, type Nesting, type SessionOwner } from './nesting.ts'
import { onAsked, onClear } from './open-nestings.ts'
import { ALONE, firstPropagation } from './propagation.ts'
import { withSharedCache } from './result-cache.ts'
import { inSavepoint } from './savepoints.ts'
import { shareIdentities } from './shared-identities.ts'
import type { Outcome } from '../types.ts'
import type { SessionDatabase } from '../events/signals.ts'
import { subscribe } from './subscribers.ts'
import type { SessionTransactions } from './session-transactions.ts'

const END = Symbol('fastify-scoped-db.end')
const STAGE = Symbol('fastify-scoped-db.stage')
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
  bound[BINDING] = { database, owner, transactions, nesting: undefined, savepoints: new Set() }
  subscribe(em, flushListener)
  if (transactions.context !== undefined) em.setTransactionContext(transactions.context)
}

type EntityManagerClass = new (...args: ConstructorParameters<typeof EntityManager>) => EntityManager

function defineScopedClass (Base: EntityManagerClass): EntityManagerClass {
  class ScopedEntityManager extends withSharedCache(Base) {
    declare [BINDING]?: Binding
    declare [NESTING]?: Nesting

    /** Every operation starts here: refuses it once the scope is closed, and finds the fork of the nested transaction that runs. */
    override getContext (validate?: boolean): this {
      const binding = this[BINDING]
      if (binding === undefined) return super.getContext(validate)
      binding.transactions.assertOpen()
      assertNotOver(this[NESTING])
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
        if (!binding.nesting.isSeparate) binding.nesting.unshare = shareIdentities(this, fork)
      } else if (binding !== undefined) useDriver(fork, binding.database.orm.driver)
      return fork
    }

    /** MikroORM tells the fork of a nested transaction that it has begun: from now on the session is that fork. */
    override setTransactionContext (context: Transaction): void {
      const nesting = this[NESTING]
      if (nesting !== undefined) nesting.em = this
      // MikroORM resumes a session that was closed meanwhile, which would tell of a failure where a transaction inside it has been committed.
      if (this[BINDING]?.transactions.isClosed === true) return
      // MikroORM asks which EntityManager runs now, and when it resumes this one it still is the one inside that has ended.
      inNesting(nesting, () => super.setTransactionContext(context))
    }

    override async transactional<T> (use: (em: this) => T | Promise<T>, options: TransactionOptions = {}): Promise<T> {
      const binding = this[BINDING]
      if (binding === undefined) return await super.transactional(use, options)
      const em = this.getContext()
      const isFirst = !em.isInTransaction()
      const asked = options.propagation ?? TransactionPropagation.NESTED
      const propagation = isFirst ? firstPropagation(asked) : asked
      // It sees nothing of the unflushed work of the session, and writes none of it.
      const isSeparate = ALONE.has(asked) || options.clear === true
      const isUndone = isSeparate || propagation !== TransactionPropagation.NOT_SUPPORTED
      const run = async (nesting: Nesting) => {
        let entities: AnyEntity[] = []
        const result = await super.transactional(async fork => {
          const result = await runAndFlush(fork, nesting, use)
          if (isSeparate) entities = takeEntities(fork)
          return result
        }, { ...options, propagation, clear: isSeparate })
        // It is committed, whatever comes of that.
        try {
          handOver(em, entities, nesting.written)
        } catch (error) {
          binding.transactions.doom(error)
        }
        return result
      }
      if (isFirst || ALONE.has(asked)) return await alone({ binding, em, isUndone, isSeparate, run })
      if (propagation !== TransactionPropagation.NESTED) return await super.transactional(use, options)
      return await inSavepoint({ binding, em, isUndone, isSeparate, run })
    }

    override persist<Entity extends object> (entity: Parameters<EntityManager['persist']>[0]): this {
      const em = this.getContext()
      super.persist(entity as Entity)
      lateChanges(em)?.persisted(entity)
      onAsked(em, persistAgain, entity)
      return em
    }

    override remove<Entity extends object> (entity: Parameters<EntityManager['remove']>[0]): this {
      const em = this.getContext()
      super.remove(entity as Entity)
      lateChanges(em)?.removed(entity)
      onAsked(em, removeAgain, entity)
      return em
    }

    override clear (): void {
      const em = this.getContext()
      interruptFlush(em, 'em.clear()')
      onClear(em)
      super.clear()
    }

    override async flush (): Promise<void> {
      await this[FLUSH]()
      if (!this.getContext().isInTransaction()) this[ENDED]('commit')
    }

    /** In plain MikroORM the outcome is there with each flush, and with the end of each transaction begun by hand. */
    [ENDED] (outcome: Outcome): void {
      const binding = this[BINDING]
      if (binding === undefined || binding.transactions.isAutomatic || currentNesting(binding) !== undefined) return
      binding.owner.outcomes.ended(binding.database, binding.owner.outcomes.waiting(), outcome)
    }

    /** @returns whether it has written anything, or left something to the next */
    async [FLUSH] (): Promise<boolean> {
      const binding = this[BINDING]
      try {
        const em = this.getContext()
        const hadAnything = await flushInTurn(em, instancesOf(em), () => super.flush())
        binding?.transactions.assertOpen()
        return hadAnything
      } catch (error) {
        // Part of it may be written, and MikroORM has forgotten the rest.
        const nesting = (this.getContext() as BoundEntityManager)[NESTING]
        if (isInMain(binding, super.getTransactionContext())) binding.transactions.doom(error)
        else if (nesting !== undefined && this.isInTransaction()) nesting.failure ??= error as Error
        throw error
      }
    }

    /** MikroORM does this to suspend a transaction (`REQUIRES_NEW`): the session would then write outside any. */
    override resetTransactionContext (): void {
      const own = this[BINDING]?.transactions.context
      if (own === undefined) super.resetTransactionContext()
      else this.setTransactionContext(own)
    }

    override setSessionContext (context: SessionContext): void {
      this[STAGE](() => { super.setSessionContext(context) })
    }

    override clearSessionContext (): void {
      this[STAGE](() => { super.clearSessionContext() })
    }

    override setFilterParams (...params: Parameters<EntityManager['setFilterParams']>): void {
      this[STAGE](() => { super.setFilterParams(...params) })
    }

    /** MikroORM refuses what a transaction would not take notice of, and takes that of the scope for begun. */
    [STAGE] (stage: () => void): void {
      const em = this.getContext() as BoundEntityManager
      const context = em.getTransactionContext()
      if (context === undefined || !isInMain(em[BINDING], context) || em[BINDING].transactions.hasBegun) {
        stage()
        return
      }
      Base.prototype.resetTransactionContext.call(em)
      try {
        stage()
      } finally {
        em.setTransactionContext(context)
      }
    }

    override async begin (options: TransactionOptions = {}): Promise<void> {
      const binding = this[BINDING]
      if (isInMain(binding, super.getTransactionContext())) await binding.transactions.begin()
      else await super.begin(options)
    }

    override async commit (): Promise<void> {
      await this[END]('commit', () => super.commit())
    }

    override async rollback (): Promise<void> {
      await this[END]('rollback', async () => {
        const context = super.getTransactionContext()
        // A COMMIT that failed has rolled back, but MikroORM has it rolled back again.
        if (context === undefined || this[BINDING]?.transactions.hasEnded(context) !== true) await super.rollback()
      })
    }

    /** The scope's own transaction is ended by the scope, one that MikroORM has begun by MikroORM. */
    async [END] (outcome: Outcome, begun: () => Promise<void>): Promise<void> {
      const binding = this[BINDING]
      const context = super.getTransactionContext()
      if (isInMain(binding, context)) {
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
