import type { EntityManager, MikroORM } from '@mikro-orm/core'
import { currentScope } from './registry.ts'

const resolved = new WeakSet<MikroORM>()

/**
 * Makes `orm.em`, and every repository made from it, resolve to the current scope's session, through MikroORM's `context`
 * option. Outside any scope of this ORM they behave as before. Done once for an ORM, which several applications may share.
 */
export function resolveToScopes (orm: MikroORM): void {
  if (resolved.has(orm)) return
  resolved.add(orm)
  const outside = orm.config.get('context')
  orm.config.set('context', name => {
    const scope = currentScope()
    return scope?.host.orm === orm ? scope.session : outside(name)
  })
  delegateToSession(orm.em)
}

/**
 * Makes `orm.em` leave to the current session what sessions do in their own way. Everything else MikroORM resolves by
 * itself, through its `context` option.
 */
function delegateToSession (em: EntityManager): void {
  for (const method of ['transactional', 'flush', 'begin', 'commit', 'rollback', 'isInTransaction', 'getConnection'] as const) {
    const original = em[method] as (...args: unknown[]) => unknown
    const delegating = function (this: EntityManager, ...args: unknown[]) {
      const current = this.getContext(false)
      return current === this ? original.apply(this, args) : (current[method] as typeof original)(...args)
    }
    Object.defineProperty(em, method, { value: delegating, configurable: true, writable: true })
  }
}
