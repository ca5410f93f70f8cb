import { debug } from '../debug.ts'
import { SCOPE } from '../diagnostics/channels.ts'
import { aboutScope, type ScopeMessage } from '../diagnostics/messages.ts'
import { forget, listen } from '../diagnostics/statement-listeners.ts'
import { Trace } from '../diagnostics/trace.ts'
import type { SessionDatabase } from '../events/signals.ts'
import { StatementUsage } from '../transaction/usage.ts'
import type { Decision, Log, ScopeInfo } from '../types.ts'
import type { ScopeHost, ScopeOwner } from './contracts.ts'
import { echoTo } from './echo.ts'
import { RecordedStatements, type RecordedStatement } from './recorded-statements.ts'
import type { ScopeState } from './state.ts'

/** What is told of a scope, on its tracing channel and, at its end, to the log: one line, of level `debug`, or `warn` where somebody has been told otherwise. */
export class ScopeReport {
  /** What its statements cost, if anybody reads it: it is a lot to measure for nobody. */
  readonly usage: StatementUsage | undefined
  readonly #owner: ScopeOwner
  readonly #log: Log
  readonly #scope: ScopeInfo
  readonly #trace: Trace<ScopeMessage> | undefined
  #recorded: RecordedStatements | undefined
  #decision: Decision | undefined
  /** Whether the decision takes back something that somebody was told is there. */
  #isSurprising = false
  #failure: unknown
  /** What has come of it. */
  #isCommitted = false

  constructor (owner: ScopeOwner, scope: ScopeInfo, host: ScopeHost) {
    const { log } = owner
    this.#owner = owner
    this.#log = log
    this.#scope = scope
    this.#trace = SCOPE.hasSubscribers ? new Trace<ScopeMessage>(SCOPE, { ...aboutScope(scope), host }) : undefined
    this.usage = log.isLevelEnabled?.('debug') === true ? new StatementUsage() : undefined
  }

  /** Whether the places of its statements are to be found, in one database. */
  hasPlaces (database: SessionDatabase): boolean {
    return this.#trace?.message.hasPlaces === true || this.#owner.settingsOf(database).recordStatements
  }

  /** There is a session of a database. */
  joined (database: SessionDatabase): void {
    debug('session made: of database %s', database.name)
    const { echo, recordStatements } = this.#owner.settingsOf(database)
    const write = echo === false ? undefined : echoTo(this.#log, echo === true ? {} : echo)
    const recorded = recordStatements ? (this.#recorded ??= new RecordedStatements()) : undefined
    if (write === undefined && recorded === undefined) return
    listen(this.#scope, database.name, message => {
      write?.(message)
      recorded?.add(message)
    })
  }

  /** What was sent to a database, as far as that is recorded. */
  statements (database: SessionDatabase): RecordedStatement[] {
    return this.#recorded?.of(database.name) ?? []
  }

  /** @param hasChanges whether anything was changed, or was to be */
  explain (decision: Decision, hasChanges: () => boolean): void {
    this.#decision = decision
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
    forget(this.#scope)
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
