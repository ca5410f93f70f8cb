import { tracingChannel } from 'node:diagnostics_channel'
import type { Test } from 'tap'
import type { ConnectionMessage, ScopeMessage, StatementMessage, TransactionMessage } from '../../plugin.ts'

interface Messages {
  statement: StatementMessage
  transaction: TransactionMessage
  connection: ConnectionMessage
  scope: ScopeMessage
}

/** As it was told, with little of the request: what fails would print all of Fastify. */
type Told<Name extends keyof Messages> = Omit<Messages[Name], 'scope'> & { readonly scope: { readonly kind: string, readonly url: string | undefined } }

/** What is told on one of the channels until the end of the test: which event of what. */
export function eventsOf<Name extends keyof Messages> (t: Test, name: Name) {
  const channel = tracingChannel<unknown, Messages[Name]>(`fastify-scoped-db.${name}`)
  const known = new Map<unknown, Told<Name>>()
  const events: { readonly event: string, readonly message: Told<Name> }[] = []
  const listener = (event: string) => (told: unknown) => {
    const { scope: { kind, request }, ...message } = told as Messages[Name]
    const seen = known.get(told) ?? {} as Told<Name>
    known.set(told, Object.assign(seen, message, { scope: { kind, url: request?.url } }))
    events.push({ event, message: seen })
  }
  const subscribers = { start: listener('start'), end: listener('end'), asyncStart: listener('asyncStart'), asyncEnd: listener('asyncEnd'), error: listener('error') }
  channel.subscribe(subscribers)
  t.teardown(() => { channel.unsubscribe(subscribers) })
  return {
    /** The events since the last time. All of one thing have the same message. */
    taken: () => events.splice(0),
    /** The messages of what has ended since the last time. */
    ended: () => events.splice(0).filter(({ event }) => event === 'asyncEnd').map(({ message }) => message)
  }
}
