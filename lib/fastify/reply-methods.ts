import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

/** Who is told of what is done to a reply. */
export interface ReplyListener {
  /** A reply is on its way through the hooks. */
  replyBegun (): void
  /** Somebody waits for the reply, with `return reply` or `await reply`: other code will send it. */
  replyAwaited (): void
  /** Fastify has nothing to do with the reply any more. */
  replyTakenOver (): void
  /** Calls `next` when the reply is sent or, where its client has left, would have been. */
  afterReply (next: () => void): void
}

type Method = (this: FastifyReply, ...args: unknown[]) => unknown
type Settle = (value?: unknown) => void

/**
 * Has a listener of each request see what is done to its reply. Decorations of Fastify's own methods: nothing is made for a single request.
 * @param listenerOf undefined for requests that are none of ours
 */
export function watchReplies (fastify: FastifyInstance, listenerOf: (request: FastifyRequest) => ReplyListener | undefined): void {
  const original = { send: inherited('send'), hijack: inherited('hijack'), then: inherited('then') }
  const watching = {
    send (this: FastifyReply, payload: unknown) {
      if (!this.sent) listenerOf(this.request)?.replyBegun()
      return original.send(this, watching.send).call(this, payload)
    },
    hijack (this: FastifyReply) {
      const reply = original.hijack(this, watching.hijack).call(this)
      listenerOf(this.request)?.replyTakenOver()
      return reply
    },
    // Fastify's own settles as soon as the socket closes. What waits for the reply would go on before the reply was decided on: behind a hook
    // that has answered 401, with the handler.
    then (this: FastifyReply, fulfilled: unknown, rejected: unknown) {
      const wait = original.then(this, watching.then)
      const listener = this.sent ? undefined : listenerOf(this.request)
      if (listener === undefined) return wait.call(this, fulfilled, rejected)
      listener.replyAwaited()
      const after = (settle: unknown) => settle === undefined ? undefined : (value: unknown) => { listener.afterReply(() => { (settle as Settle)(value) }) }
      return wait.call(this, after(fulfilled), after(rejected))
    }
  }
  for (const [name, method] of Object.entries(watching)) fastify.decorateReply(name, method)
}

/** Finds what a method is in the place of, once. */
function inherited (name: string): (reply: FastifyReply, own: Method) => Method {
  let method: Method | undefined
  return (reply, own) => {
    method ??= find(reply, name, own)
    return method
  }
}

function find (reply: FastifyReply, name: string, own: Method): Method {
  let prototype: object = reply
  while (Object.getOwnPropertyDescriptor(prototype, name)?.value !== own) prototype = Object.getPrototypeOf(prototype) as object
  return Reflect.get(Object.getPrototypeOf(prototype) as object, name) as Method
}
