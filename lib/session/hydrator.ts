import type { MikroORM } from '@mikro-orm/core'

/** What of MikroORM's hydrator makes rows into entities, and whether it does so now. */
interface Hydrator {
  running: boolean
  hydrate (...args: unknown[]): void
  hydrateReference (...args: unknown[]): void
}

/**
 * Has the hydrator of an ORM come to rest when a row cannot be read. MikroORM leaves it running then, for good: every relation that
 * is set later, in whatever session, is taken for one that was read, and never written.
 */
export function restoreHydrator (orm: MikroORM): void {
  const hydrator = orm.config.getHydrator(orm.getMetadata()) as unknown as Hydrator
  for (const method of ['hydrate', 'hydrateReference'] as const) {
    const hydrate = hydrator[method]
    // eslint-disable-next-line no-restricted-syntax -- once, and for good.
    hydrator[method] = function (this: Hydrator, ...args) {
      const { running } = this
      try {
        hydrate.apply(this, args)
      } catch (error) {
        this.running = running
        throw error
      }
    }
  }
}
