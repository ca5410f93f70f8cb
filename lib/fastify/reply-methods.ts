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
  extend(fastify, 'send', original => function (payload) {
    if (!this.sent) listenerOf(this.request)?.replyBegun()
    return original.call(this, payload)
  })
  extend(fastify, 'hijack', original => function () {
    const reply = original.call(this)
    listenerOf(this.request)?.replyTakenOver()
    return reply
  })
  // Fastify's own settles as soon as the socket closes. What waits for the reply would go on before the reply was decided on: behind a hook
  // that has answered 401, with the handler.
  extend(fastify, 'then', original => function (fulfilled, rejected) {
    const listener = this.sent ? undefined : listenerOf(this.request)
    if (listener === undefined) return original.call(this, fulfilled, rejected)
    listener.replyAwaited()
    const after = (settle: unknown) => settle === undefined ? undefined : (value: unknown) => { listener.afterReply(() => { (settle as Settle)(value) }) }
    return original.call(this, after(fulfilled), after(rejected))
  })
}

function extend (fastify: FastifyInstance, name: 'send' | 'hijack' | 'then', extended: (original: Method) => Method): void {
  let original: Method | undefined
  const method = extended(function (...args) {
    original ??= inherited(this, name, method)
    return original.apply(this, args)
  })
  fastify.decorateReply(name as string, method)
}

/** What `own` is in the place of. */
function inherited (reply: FastifyReply, name: string, own: Method): Method {
  let prototype: object = reply
  while (Object.getOwnPropertyDescriptor(prototype, name)?.value !== own) prototype = Object.getPrototypeOf(prototype) as object
  return Reflect.get(Object.getPrototypeOf(prototype) as object, name) as Method
}
