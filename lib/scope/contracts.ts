import type { ForkOptions, MikroORM } from '@mikro-orm/core'
import type { FastifyRequest } from 'fastify'
import type { BagMember } from '../bag.ts'
import type { AfterWork } from '../events/callbacks.ts'
import type { SessionDatabase } from '../events/signals.ts'
import type { DiagnosticsSettings } from '../options/diagnostics-options.ts'
import type { TransactionSettings } from '../transaction/contracts.ts'
import type { Log, ScopeInfo, ScopeKind } from '../types.ts'
import type { ScopeState } from './state.ts'

/** What keeps an application from closing: a scope, or what else it has to wait for. */
export interface InFlightWork extends BagMember {
  readonly kind: ScopeKind | 'callback'
  /** That of a scope. */
  readonly info?: ScopeInfo
  /** Ends it by force, where that can be done. */
  destroy (): Promise<void>
}

/** What a scope belongs to: the databases of one application. */
export interface ScopeHost {
  /** Whether it takes no new sessions any more. */
  readonly isClosed: boolean
  /** The database whose MikroORM this is, if it is one of these. */
  of (orm: MikroORM): SessionDatabase | undefined
  /** The scope has something to clean up from now on. May be called more than once. */
  opened (scope: InFlightWork): void
  closed (scope: InFlightWork): void
  /** Waits for so many milliseconds, or less where the application is in a hurry to close. */
  pause (milliseconds: number): Promise<void>
  /**
   * Starts work that nobody waits for but the end of the application.
   * @param since a promise that it waits for, which never rejects
   */
  after (works: readonly AfterWork[], log: Log, since?: Promise<unknown>): void
}

/** What a scope is made for. Asked when a session is first needed, so that a scope that needs none costs nothing. */
export interface ScopeOwner {
  readonly kind: ScopeKind
  readonly request?: FastifyRequest
  readonly log: Log
  transactionSettings (database: SessionDatabase): TransactionSettings
  forkOptions (database: SessionDatabase): ForkOptions
  /** What is to be told of its statements. */
  settingsOf (database: SessionDatabase): DiagnosticsSettings
  /** The scope has something to clean up from now on. May be called more than once. */
  opened? (): void
  /** The scope is destroyed, because of `error`. */
  destroyed? (error: Error): void
}

/** What can be asked of a scope. */
export interface ScopeStatus {
  readonly kind: ScopeKind
  readonly state: ScopeState
  /** The scope that this one was opened in, until this one is closed: nothing is kept of a chain of closed ones. */
  readonly parent: ScopeStatus | undefined
  /** Whether it is closed, or about to be. */
  readonly isClosed: boolean
  /** Whether it was doomed: it can only roll back. */
  readonly isRollbackOnly: boolean
  /** Whether it has had a session, of whichever database. */
  readonly isUsed: boolean
  /** Whether something of it is in a database already, or may be: by a commit by hand, a transaction of its own, or a session that the scope does not commit. */
  readonly hasCommitted: boolean
  /** Whether there is a session that the scope commits, rather than plain MikroORM. */
  readonly isAutomatic: boolean
  /** Whether anything but plain reads has gone through the scope's transactions. */
  readonly hasWritten: boolean
  /** Whether a statement runs, or waits to be run. */
  readonly isBusy: boolean
  /** Whether a commit would change anything: in a database, or by what waits for it. */
  hasWork (): boolean
  /** Whether something was changed after its commit. */
  hasLost (): boolean
}
