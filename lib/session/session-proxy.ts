import { EntityManager } from '@mikro-orm/core'
import { localProxy } from '../local-proxy.ts'

/** Stands for the session that `resolve` finds anew on every use: `instanceof EntityManager`, whatever `resolve` throws. */
export function sessionProxy (resolve: () => EntityManager): EntityManager {
  return localProxy(EntityManager.prototype, resolve)
}
