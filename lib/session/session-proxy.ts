import { EntityManager, type MikroORM } from '@mikro-orm/core'
import { localProxy } from '../local-proxy.ts'

/**
 * Stands for the session that `resolve` finds anew on every use: `instanceof EntityManager`, whatever `resolve` throws.
 * @param ormOf finds the MikroORM that it is of, if there is one
 */
export function sessionProxy (ormOf: () => MikroORM | undefined, resolve: () => EntityManager): EntityManager {
  return localProxy(() => {
    const orm = ormOf()
    return orm === undefined ? EntityManager.prototype : Reflect.getPrototypeOf(orm.em) as object
  }, resolve)
}
