import type { EntityManager, EntityName } from '@mikro-orm/core'
import { transactionOf, type UnderlyingTransaction } from '../transaction/kysely-transaction.ts'
import { hasUnflushed } from './dirty-check.ts'

type EntityManagerClass = new (...args: ConstructorParameters<typeof EntityManager>) => EntityManager
type Config = Parameters<EntityManager['storeCache']>[0]
type Found<Result> = { data?: Result | null, key: string } | undefined
type AskOptions = [config: Config, key: unknown, refresh?: boolean, merge?: boolean]

/** How much had been written when the cache was asked, by what it gave. */
const writesBefore = new WeakMap<object, number>()

/**
 * MikroORM's result cache is everybody's. What has changed something in a transaction neither fills it nor is served from it until that is
 * committed: what is served is put into the session, over what is changed there.
 */
export function withSharedCache (Base: EntityManagerClass): EntityManagerClass {
  return class extends Base {
    override tryCache<Entity extends object, Result> (entityName: EntityName<Entity>, ...options: AskOptions): Promise<Found<Result>> {
      const em = this.getContext()
      const transaction = transactionFor(em, options[0])
      if (transaction === undefined) return super.tryCache<Entity, Result>(entityName, ...options)
      return ask(em, transaction, () => super.tryCache<Entity, Result>(entityName, ...options))
    }

    override storeCache<Result> (config: Config, found: { key: string } | undefined, result: Result | (() => Result)): Promise<void> {
      const em = this.getContext()
      const transaction = transactionFor(em, config)
      return transaction === undefined || isEverybodys(em, found, transaction) ? super.storeCache(config, found as { key: string }, result) : NOTHING
    }
  }
}

const NOTHING = Promise.resolve()

async function ask<Result> (em: EntityManager, transaction: UnderlyingTransaction, inCache: () => Promise<Found<Result>>): Promise<Found<Result>> {
  if (isChanged(em, transaction)) return undefined
  const { writes } = transaction.statements
  const found = await inCache()
  writesBefore.set(found as object, writes)
  return found
}

/** What is to be looked at where something is cached: also for a fork of the application's, which may be in the transaction of a scope. */
function transactionFor (em: EntityManager, config: Config): UnderlyingTransaction | undefined {
  return config ?? em.config.get('resultCache').global ? transactionOf(em.getTransactionContext()) : undefined
}

function isChanged (em: EntityManager, { hasUncommitted }: UnderlyingTransaction): boolean {
  return hasUncommitted || hasUnflushed(em)
}

/** Whether what was read since the cache was asked is what everybody can see. */
function isEverybodys (em: EntityManager, found: object | undefined, transaction: UnderlyingTransaction): boolean {
  return found !== undefined && writesBefore.get(found) === transaction.statements.writes && !isChanged(em, transaction)
}
