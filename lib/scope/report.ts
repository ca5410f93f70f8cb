import { debug } from '../debug.ts'
import { SCOPE } from '../diagnostics/channels.ts'
import { aboutScope, type Origin, type ScopeMessage } from '../diagnostics/messages.ts'
import { Trace } from '../diagnostics/trace.ts'
import type { SessionDatabase } from '../events/signals.ts'
import type { ConnectionPool } from '../transaction/connection-pool.ts'
import { StatementUsage } from '../transaction/usage.ts'
import type { Decision, Log, ScopeInfo } from '../types.ts'
import type { ScopeHost, ScopeOwner } from './contracts.ts'
import type { RecordedStatement } from './recorded-statements.ts'
import type { ScopeState } from './state.ts'
import { StatementReport } from './statement-report.ts'

/** What is told of a scope, on its tracing channel and, at its end, to the log: one line, of level `debug`, or `warn` where somebody has been told otherwise. */
export class ScopeReport {
  /** Which one of a `retry` the scope is for. */
  readonly attempt: number
  /** What its statements cost, if anybody reads it: it is a lot to measure for nobody. */
  readonly usage: StatementUsage | undefined
  readonly #owner: ScopeOwner
  readonly #log: Log
  readonly #scope: ScopeInfo
  readonly #trace: Trace<ScopeMessage> | undefined
  #statements: StatementReport | undefined
  #decision: Decision | undefined
  /** Whether the decision takes back something that somebody was told is there. */
  #isSurprising = false
  #failure: unknown
  /** What has come of it. */
  #isCommitted = false

  constructor (owner: ScopeOwner, scope: ScopeInfo, host: ScopeHost, attempt: number) {
    const { log } = owner
    this.attempt = attempt
    this.#owner = owner
    this.#log = log
    this.#scope = scope
    this.#trace = SCOPE.hasSubscribers ? new Trace<ScopeMessage>(SCOPE, { ...aboutScope(scope), attempt, host }) : undefined
    this.usage = log.isLevelEnabled?.('debug') === true ? new StatementUsage() : undefined
  }

  /**
   * There is a session of a database.
   * @returns what is to be known of whatever it sends
   */
  joined (database: SessionDatabase, { acquireTimeout }: ConnectionPool): Origin {
    debug('session made: of database %s', database.name)
    this.#statements ??= new StatementReport(this.#owner, this.#scope)
    return this.#statements.joined(database, acquireTimeout, this.#trace?.message.hasPlaces === true)
  }

  /** What was sent to a database, as far as that is recorded. */
  statements (database: SessionDatabase): RecordedStatement[] {
    return this.#statements?.statements(database) ?? []
  }

  /** @param hasChanges whether anything was changed, or was to be */
  explain (decision: Decision, hasChanges: () => boolean): void {
    this.#decision = decision
    if (this.#trace !== undefined) Object.assign(this.#trace.message, { outcome: decision.outcome, reason: decision.reason })
    this.#isSurprising = decision.isSurprising === true && hasChanges()
  }

  entered (state: ScopeState): void {
    this.#isCommitted ||= state === 'committed'
  }

  /** @param error what has stopped its commit */
  failed (error: unknown): void {
    this.#failure = error
  }

  /** @param hasCommitted whether something of it was committed by hand */
  tell (hasCommitted: boolean): void {
    this.#statements?.end()
    const isByHand = this.#decision === undefined && hasCommitted
    const outcome = this.#isCommitted || isByHand ? 'commit' : 'rollback'
    const { usage } = this
    const cost = usage === undefined ? {} : { statements: usage.statements, milliseconds: round(usage.milliseconds), waited: round(usage.waited) }
    const reason = isByHand ? 'by hand' : this.#reason()
    this.#trace?.end({ outcome, reason, error: this.#failure })
    const line = { scope: this.#scope.kind, outcome, reason, ...cost }
    if (this.#isSurprising) this.#log.warn(line, 'a unit of work was rolled back, although its reply says otherwise')
    else if (usage !== undefined && usage.statements > 0) this.#log.debug(line, 'a unit of work has ended')
  }

  #reason (): string {
    const { outcome, reason } = this.#decision ?? { reason: 'closed before it had an outcome' }
    return outcome === 'commit' && !this.#isCommitted ? 'its commit has failed' : reason
  }
}

function round (milliseconds: number): number {
  return Math.round(milliseconds * 10) / 10
}
