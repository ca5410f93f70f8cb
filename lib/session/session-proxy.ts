import { EntityManager } from '@mikro-orm/core'
import { localProxy } from '../local-proxy.ts'

/**
 * Stands for the session that `resolve` finds anew on every use: `instanceof EntityManager`, whatever `resolve` throws.
 * @param em one of its kind, if there is one: drivers have methods of their own
 */
export function sessionProxy (resolve: () => EntityManager, em?: EntityManager): EntityManager {
  return localProxy(em === undefined ? EntityManager.prototype : Object.getPrototypeOf(em) as object, resolve)
}
