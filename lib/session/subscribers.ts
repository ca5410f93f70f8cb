import type { EntityManager, EventSubscriber } from '@mikro-orm/core'

const own = new WeakSet<EventSubscriber>()

/** Subscribes to what happens in a session, unseen by `isHeard`. It can be done any number of times. */
export function subscribe (em: EntityManager, subscriber: EventSubscriber): void {
  own.add(subscriber)
  em.getEventManager().registerSubscriber(subscriber)
}

/** Whether one of MikroORM's subscribers, which the application has, wants to be told of one of these events. */
export function isHeard (em: EntityManager, ...events: (keyof EventSubscriber)[]): boolean {
  for (const subscriber of em.getEventManager().getSubscribers()) if (!own.has(subscriber) && events.some(event => event in subscriber)) return true
  return false
}
