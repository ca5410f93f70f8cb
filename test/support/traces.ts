import { tracingChannel } from 'node:diagnostics_channel'
import type { Test } from 'tap'
import type { ConnectionMessage, ScopeMessage, StatementMessage, TransactionMessage } from '../../plugin.ts'

interface Messages {
  statement: StatementMessage
  transaction: TransactionMessage
  connection: ConnectionMessage
  scope: ScopeMessage
}

/** What was told on one of the channels until the end of the test: of which message, and the event. */
export function eventsOf<Name extends keyof Messages> (t: Test, name: Name) {
  const channel = tracingChannel<unknown, Messages[Name]>(`fastify-scoped-db.${name}`)
  const events: { readonly event: string, readonly message: Messages[Name] }[] = []
  const listener = (event: string) => (message: unknown) => { events.push({ event, message: message as Messages[Name] }) }
  const subscribers = { start: listener('start'), end: listener('end'), asyncStart: listener('asyncStart'), asyncEnd: listener('asyncEnd'), error: listener('error') }
  channel.subscribe(subscribers)
  t.teardown(() => { channel.unsubscribe(subscribers) })
  return {
    /** The events since the last time, by the names of the messages. */
    taken: () => events.splice(0),
    /** The messages of what has ended since the last time. */
    ended: () => events.splice(0).filter(({ event }) => event === 'asyncEnd').map(({ message }) => message)
  }
}
