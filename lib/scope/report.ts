import { SCOPE } from '../diagnostics/channels.ts'
import { about, type ScopeMessage } from '../diagnostics/messages.ts'
import { Trace } from '../diagnostics/trace.ts'
import { StatementUsage } from '../transaction/usage.ts'
import type { Decision, Log, ScopeInfo } from '../types.ts'
import type { ScopeState } from './state.ts'

/** What is told of a scope, on its tracing channel and, at its end, to the log: one line, of level `debug`, or `warn` where somebody has been told otherwise. */
export class ScopeReport {
  /** What its statements cost, if anybody reads it: it is a lot to measure for nobody. */
  readonly usage: StatementUsage | undefined
  readonly #log: Log
  readonly #kind: ScopeInfo['kind']
  readonly #trace: Trace<ScopeMessage> | undefined
  #decision: Decision | undefined
  /** Whether the decision takes back something that somebody was told is there. */
  #isSurprising = false
  #failure: unknown
  /** What has come of it. */
  #isCommitted = false

  constructor (log: Log, scope: ScopeInfo) {
    this.#log = log
    this.#kind = scope.kind
    this.#trace = SCOPE.hasSubscribers ? new Trace<ScopeMessage>(SCOPE, about({ scope })) : undefined
    this.usage = log.isLevelEnabled?.('debug') === true ? new StatementUsage() : undefined
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
    const isByHand = this.#decision === undefined && hasCommitted
    const outcome = this.#isCommitted || isByHand ? 'commit' : 'rollback'
    const { usage } = this
    const cost = usage === undefined ? {} : { statements: usage.statements, milliseconds: round(usage.milliseconds), waited: round(usage.waited) }
    const reason = isByHand ? 'by hand' : this.#reason()
    this.#trace?.end({ outcome, reason, error: this.#failure })
    const line = { scope: this.#kind, outcome, reason, ...cost }
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
