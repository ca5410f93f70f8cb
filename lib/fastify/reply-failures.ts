import { AsyncLocalStorage } from 'node:async_hooks'

/** A reply that is being sent. Several of a request can be on their way. */
interface Sending {
  readonly unit: object
  /** How often the request had failed when the reply was begun. */
  readonly failures: number
}

const storage = new AsyncLocalStorage<Sending>()

/** Sends a reply of a request that has failed so many times. */
export function sendKnowing (unit: object, failures: number, send: () => void): void {
  storage.run({ unit, failures }, send)
}

/**
 * How often the request had failed when the reply that is being sent was begun. Nobody knows where a hook goes on in another context, such as
 * that of another request's reply, which has made this request.
 */
export function failuresBefore (unit: object): number | undefined {
  const sending = storage.getStore()
  return sending?.unit === unit ? sending.failures : undefined
}
