import type { FastifyReply } from 'fastify'
import { EventEmitter } from 'node:events'
import t, { type Test } from 'tap'
import { ReplyOutcome } from '../../../lib/fastify/reply-outcome.ts'
import type { ReplyScope } from '../../../lib/fastify/reply-scope.ts'
import { REPLY_TRANSITIONS, type ReplyState } from '../../../lib/fastify/reply-state.ts'
import { tableUnder } from '../../support/fences.ts'

const STATES = Object.keys(REPLY_TRANSITIONS) as ReplyState[]

/** A reply, and a scope that notes what is done to it. */
class Subject {
  readonly done: string[] = []
  readonly flushed = Promise.withResolvers<void>()
  readonly raw = Object.assign(new EventEmitter(), { statusCode: 200, writableEnded: false, writableFinished: false, destroyed: false, closed: false, headersSent: false, getHeaders: () => ({}), getHeaderNames: () => [], setHeader: () => {} })
  readonly outcome: ReplyOutcome
  #state = 'open'

  /** @param awaitsHooks whether there are `onResponse` hooks, which end after the connection */
  constructor (awaitsHooks = true) {
    const note = (what: string, state: string) => {
      if (what !== 'ends' || this.#state === 'open') this.done.push(what)
      this.#state = state
    }
    const made = {
      isAutomatic: true,
      isUsed: true,
      isRollbackOnly: false,
      hasCommitted: false,
      hasWritten: true,
      isClosed: false,
      isBusy: false,
      hasWork: () => true,
      explain: () => {},
      flush: () => this.flushed.promise,
      end: async () => { note('ends', 'committed') },
      close: async () => {
        made.isClosed = true
        note('closes', 'closed')
      },
      cancel: async () => { note('cancels', 'destroyed') }
    }
    Object.defineProperty(made, 'state', { get: () => this.#state })
    const reply = { raw: this.raw, log: { error: () => {}, warn: () => {} }, statusCode: 200, sent: false, getHeaders: () => ({}), code: () => reply, request: { routeOptions: {}, raw: { httpVersionMajor: 1 } } }
    const scope = {
      request: { log: { error: () => {}, warn: () => {} } },
      host: { isClosed: false },
      made,
      awaitsHooks,
      openScope: () => made,
      enter: (next: () => void) => next(),
      settingsOfAll: () => [{ commitOnTeardown: true, mapErrors: false, cancelOnAbort: false }],
      endUnmade: () => {},
      close: made.close,
      reopen: () => {},
      renew: () => {}
    }
    Object.defineProperty(scope, 'state', { get: () => this.#state })
    this.outcome = new ReplyOutcome(scope as unknown as ReplyScope, reply as unknown as FastifyReply)
    this.outcome.unattended.watch()
  }
}

const WAYS: Record<ReplyState, (subject: Subject) => unknown> = {
  awaited: () => {},
  flushing: ({ outcome }) => { void outcome.flush() },
  gone: ({ raw }) => { raw.emit('close') },
  sent: subject => {
    subject.raw.writableEnded = true
    subject.outcome.responded()
    subject.done.length = 0
  }
}

const EVENTS: Record<string, (subject: Subject) => unknown> = {
  'flush begins': ({ outcome }) => { void outcome.flush() },
  'flush over': async ({ flushed }) => { flushed.resolve() },
  'handler runs again': ({ outcome }) => { outcome.renewScope() },
  error: ({ outcome }) => { outcome.fail(new Error('mine')) },
  'last onSend': async subject => {
    const ended = subject.outcome.end('payload')
    if (ended === 'drop') subject.done.push('drops')
    else if (ended !== 'send') (await ended)()
  },
  'response sent': ({ raw, outcome }) => {
    raw.writableEnded = true
    outcome.responded()
  },
  'client closes': ({ raw }) => { raw.emit('close') }
}

async function after (t: Test, state: ReplyState, event: string): Promise<string> {
  const subject = new Subject()
  await WAYS[state](subject)
  t.equal(subject.outcome.state, state)
  await EVENTS[event]?.(subject)
  await new Promise(setImmediate)
  return [subject.outcome.state, ...subject.done.length > 0 ? [subject.done.join(' and ')] : []].join(', ')
}

void t.test('a reply in each state, and all that can happen to it', async t => {
  const table = tableUnder('docs/architecture.md', '### Of a reply')
  t.same(Object.keys(table), STATES)
  for (const [state, row] of Object.entries(table)) {
    t.same(Object.keys(row), Object.keys(EVENTS))
    for (const [event, expected] of Object.entries(row)) {
      if (expected !== '-') t.equal(await after(t, state as ReplyState, event), expected, `${state}, ${event}`)
    }
  }
})

void t.test('nothing waits for the hooks of a reply any more when they have run', async t => {
  const timers = () => process.getActiveResourcesInfo().filter(kind => kind === 'Timeout').length
  const before = timers()
  const subject = new Subject()
  await WAYS.sent(subject)
  subject.raw.emit('close')
  t.equal(timers(), before + 1, 'the last of them may never be called')
  await subject.outcome.close()
  t.equal(timers(), before)
})

void t.test('where there are no onResponse hooks, the scope is closed when the reply has gone out', async t => {
  const subject = new Subject(false)
  subject.raw.writableEnded = true
  subject.raw.emit('finish')
  t.same(subject.done, ['ends', 'closes'])
})
