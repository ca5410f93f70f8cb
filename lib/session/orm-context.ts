import { TransactionContext } from '@mikro-orm/core'
import type { EntityManager, MikroORM } from '@mikro-orm/core'
import { acquiringSession } from './acquiring.ts'
import { forkScoped } from './entity-manager.ts'
import { watchCollections } from './flush.ts'
import { restoreHydrator } from './hydrator.ts'

const resolved = new WeakSet<MikroORM>()

/** Finds the session of an ORM in the scope that is current, if there is one. */
type CurrentSession = (orm: MikroORM) => EntityManager | undefined

/**
 * Makes `orm.em`, and every repository made from it, resolve to the current scope's session, through MikroORM's `context`
 * option. Outside any scope of this ORM they behave as before. Done once for an ORM, which several applications may share.
 */
export function resolveToScopes (orm: MikroORM, currentSession: CurrentSession): void {
  if (resolved.has(orm)) return
  resolved.add(orm)
  const outside = orm.config.get('context')
  orm.config.set('context', name => acquiringSession() ?? currentSession(orm) ?? outside(name))
  passByOtherTransactions(orm, currentSession)
  delegateToSession(orm.em)
  forkScoped(orm.em)
  watchCollections(orm.driver)
  restoreHydrator(orm)
}

/**
 * Inside `em.transactional()` MikroORM takes its fork for that of every ORM of the same `contextName`, which is `'default'`
 * for all that were given none.
 */
function passByOtherTransactions (orm: MikroORM, currentSession: CurrentSession): void {
  const { em } = orm
  const { getContext } = em
  Object.defineProperty(em, 'getContext', {
    value (validate?: boolean) {
      const isOther = (TransactionContext.getEntityManager(em.name)?.config ?? em.config) !== em.config
      const found = (isOther ? currentSession(orm) : undefined) ?? getContext.call(em, validate)
      // MikroORM does not ask the fork of a transaction, which may be over.
      return found === em ? em : found.getContext(validate)
    }
  })
}

/**
 * Makes `orm.em` leave to the current session what sessions do in their own way. Everything else MikroORM resolves by
 * itself.
 */
function delegateToSession (em: EntityManager): void {
  for (const method of ['transactional', 'flush', 'begin', 'commit', 'rollback', 'isInTransaction', 'getConnection', 'persist', 'remove', 'clear', 'tryCache', 'storeCache', 'setSessionContext', 'clearSessionContext', 'setFilterParams'] as const) {
    const original = em[method] as (...args: unknown[]) => unknown
    const delegating = function (this: EntityManager, ...args: unknown[]) {
      const current = this.getContext(false)
      return current === this ? original.apply(this, args) : (current[method] as typeof original)(...args)
    }
    Object.defineProperty(em, method, { value: delegating, configurable: true, writable: true })
  }
}
