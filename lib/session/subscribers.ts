import type { EntityManager, EventSubscriber } from '@mikro-orm/core'

/** Whether one of MikroORM's subscribers wants to be told of one of these events. */
export function isHeard (em: EntityManager, ...events: (keyof EventSubscriber)[]): boolean {
  for (const subscriber of em.getEventManager().getSubscribers()) if (events.some(event => event in subscriber)) return true
  return false
}
