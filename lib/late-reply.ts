import { AsyncLocalStorage } from 'node:async_hooks'

/** A reply that was begun when its request had failed already. Several replies of a request can be on their way. */
interface LateReply {
  readonly unit: object
  readonly failures: number
}

const storage = new AsyncLocalStorage<LateReply>()

/** Sends a reply of a request that has failed so many times. */
export function sendLate (unit: object, failures: number, send: () => void): void {
  storage.run({ unit, failures }, send)
}

/** How often the request had failed when the reply that is being sent was begun; another request's reply may have had this one made. */
export function failuresBefore (unit: object): number {
  const reply = storage.getStore()
  return reply?.unit === unit ? reply.failures : 0
}
