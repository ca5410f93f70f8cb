import type { ForkOptions } from '@mikro-orm/core'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Application } from '../application/application.ts'
import { forkOptions, transactionSettings, type RequestPhase } from '../application/session-settings.ts'
import type { SessionDatabase } from '../events/signals.ts'
import type { ScopeSettings } from '../options/options.ts'
import type { RouteSettings } from '../options/route-options.ts'
import type { ScopeHost, ScopeOwner } from '../scope/contracts.ts'
import { currentSource, inScope, type ScopeSource } from '../scope/registry.ts'
import { Scope } from '../scope/scope.ts'
import { ENDED, type ScopeState } from '../scope/state.ts'
import type { TransactionSettings } from '../transaction/contracts.ts'
import { transition } from '../transition.ts'
import type { Log, Outcome, ScopeInfo } from '../types.ts'
import { clientWrites } from './read-your-writes.ts'
import { ReplyOutcome } from './reply-outcome.ts'
import type { ReplyScope } from './reply-scope.ts'

/** That of a scope that is not made. */
type UnmadeState = Exclude<ScopeState, 'ending' | 'destroyed'>

/** Where each state can lead to. docs/architecture.md has the same as a table of states and events. */
const UNMADE_TRANSITIONS: Readonly<Record<UnmadeState, readonly UnmadeState[]>> = {
  open: ['committed', 'rolled back', 'closed'],
  committed: ['open', 'closed'],
  'rolled back': ['open', 'closed'],
  closed: []
}

/** What a request has to know of its route. */
export interface RequestRoute {
  /** Whether `onRoute` has seen it, and added the hooks to it that must be the last. */
  readonly isSeen: boolean
  /** Whether the application has `onResponse` hooks for a request of it. */
  awaitsHooks (request: FastifyRequest): boolean
}

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS'])

/**
 * The scope of a request. It is made when somebody first asks for it: a request that uses no database costs hardly anything. Until then
 * this stands for it, and remembers what it would have gone through.
 */
export class RequestScope implements ScopeOwner, ScopeSource, ReplyScope, RequestPhase {
  readonly request: FastifyRequest
  /** What the reply says about the outcome. */
  readonly outcome: ReplyOutcome
  readonly #application: Application
  readonly #settings: RouteSettings
  readonly #route: RequestRoute
  /** What the request was made in. */
  readonly #surroundings: ScopeSource | undefined
  #made: Scope | undefined
  #awaitsBody = true
  #unmade: UnmadeState = 'open'

  constructor (application: Application, settings: RouteSettings, route: RequestRoute, request: FastifyRequest, reply: FastifyReply) {
    this.request = request
    this.#route = route
    this.#application = application
    this.#settings = settings
    this.#surroundings = currentSource()
    this.outcome = new ReplyOutcome(this, reply)
  }

  get kind (): 'request' {
    return 'request'
  }

  get info (): ScopeInfo {
    return { kind: this.kind, request: this.request }
  }

  get host (): ScopeHost {
    return this.#application
  }

  get log (): Log {
    return this.request.log
  }

  get made (): Scope | undefined {
    return this.#made
  }

  /** Whether the route has the hooks that end the scope; otherwise the plugin's own do. */
  get isSeen (): boolean {
    return this.#route.isSeen
  }

  get awaitsHooks (): boolean {
    return this.#route.awaitsHooks(this.request)
  }

  get isSafe (): boolean {
    return SAFE_METHODS.has(this.request.method)
  }

  awaitsBody (): boolean {
    return this.#awaitsBody
  }

  /** The body has been read, and whatever it was that sent it waits for the reply now. */
  hasBody (): void {
    this.#awaitsBody = false
  }

  get state (): ScopeState {
    return this.#made?.state ?? this.#unmade
  }

  settingsOfAll (): ScopeSettings[] {
    return this.#application.all.map(({ settings }) => this.#settings.of(settings))
  }

  transactionSettings ({ name }: SessionDatabase): TransactionSettings {
    const database = this.#application.use(name)
    return transactionSettings(this.#settings.of(database.settings), database, this, clientWrites(this.request, database))
  }

  settingsOf ({ name }: SessionDatabase): ScopeSettings {
    return this.#settings.of(this.#application.use(name).settings)
  }

  forkOptions ({ name }: SessionDatabase): ForkOptions {
    return forkOptions(this.#settings.of(this.#application.use(name).settings), this.request)
  }

  /** The scope, made now if it was not. One that comes too late learns at once what it has missed. */
  openScope (): Scope {
    this.#made ??= this.#make()
    return this.#made
  }

  /** The one that the code which runs now is to work with: code of an attempt that was given up finds that attempt's, which is closed. */
  scopeInUse (): Scope {
    const source = currentSource()
    return source instanceof Scope && source.isOwnedBy(this) ? source : this.openScope()
  }

  /** Makes it current again where a parser or another plugin has lost it. */
  enter<T> (next: () => T): T {
    return currentSource() === this ? next() : inScope(this, next)
  }

  endUnmade (outcome: Outcome): void {
    if (this.#unmade === 'open') this.#enter(ENDED[outcome])
  }

  close (): Promise<void> | undefined {
    if (this.#unmade !== 'closed') this.#enter('closed')
    return this.#made?.close()
  }

  reopen (): void {
    if (this.#unmade === 'committed' || this.#unmade === 'rolled back') this.#enter('open')
  }

  renew (): void {
    this.#made = this.#newScope(this.openScope().report.attempt + 1)
  }

  opened (): void {
    this.outcome.unattended.watch()
  }

  destroyed (error: Error): void {
    this.outcome.interrupt(error)
  }

  #make (): Scope {
    const scope = this.#newScope()
    if (this.#unmade === 'closed' || this.outcome.unattended.hasEnded) void scope.close()
    else if (this.#unmade !== 'open') void scope.end(this.#unmade === 'committed' ? 'commit' : 'rollback')
    return scope
  }

  #enter (state: UnmadeState): void {
    this.#unmade = transition(UNMADE_TRANSITIONS, this.#unmade, state, this)
  }

  #newScope (attempt?: number): Scope {
    return new Scope(this.#application, this, this.#surroundings?.openScope(), attempt)
  }
}
