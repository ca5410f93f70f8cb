import type { FastifyRequest } from 'fastify'
import type { ScopeSettings } from '../options/options.ts'
import type { ScopeHost } from '../scope/contracts.ts'
import type { Scope } from '../scope/scope.ts'
import type { ScopeState } from '../scope/state.ts'
import type { Outcome } from '../types.ts'

/** What a reply asks of the scope of its request, which may never be made. */
export interface ReplyScope {
  readonly request: FastifyRequest
  readonly host: ScopeHost
  readonly made: Scope | undefined
  readonly state: ScopeState
  /** Whether the application has `onResponse` hooks, the last of which is followed by the end. */
  readonly awaitsHooks: boolean
  /** Those of each database. */
  settingsOfAll (): ScopeSettings[]
  openScope (): Scope
  enter<T> (next: () => T): T
  /** The end of a scope that was not made. */
  endUnmade (outcome: Outcome): void
  close (): Promise<void> | undefined
  /** Takes back the end of a scope that was not made. */
  reopen (): void
  /** Puts a new one in its place. */
  renew (): void
}
