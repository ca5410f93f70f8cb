import type { Origin } from '../diagnostics/messages.ts'
import { arePlacesWanted, currentPlace } from '../diagnostics/place.ts'
import { ANSWERED_STATEMENTS, AWAITED_CONNECTIONS, ENDED_TRANSACTIONS } from '../diagnostics/scope-listeners.ts'
import type { SessionDatabase } from '../events/signals.ts'
import type { ScopeInfo } from '../types.ts'
import type { ScopeOwner } from './contracts.ts'
import { echoTo } from './echo.ts'
import { RecordedStatements, type RecordedStatement } from './recorded-statements.ts'
import { statementTag } from './statement-tag.ts'
import { Warnings } from './warnings.ts'

/** What is told of the statements of one scope, as far as its settings say so: echo, record and warnings. */
export class StatementReport {
  readonly #owner: ScopeOwner
  readonly #scope: ScopeInfo
  #recorded: RecordedStatements | undefined
  readonly #warnings = new Map<SessionDatabase, Warnings>()

  constructor (owner: ScopeOwner, scope: ScopeInfo) {
    this.#owner = owner
    this.#scope = scope
  }

  /**
   * There is a session of a database, the first or another one.
   * @param hasPlaces whether somebody else wants the places of its statements
   * @returns what is to be known of whatever it sends
   */
  joined (database: SessionDatabase, acquireTimeout: number, hasPlaces: boolean): Origin {
    const { echo, recordStatements, tagStatements } = this.#owner.settingsOf(database)
    const write = echo === false ? undefined : echoTo(this.#owner.log, echo === true ? {} : echo)
    const recorded = recordStatements ? (this.#recorded ??= new RecordedStatements()) : undefined
    const warnings = this.#warn(database, acquireTimeout)
    if (write !== undefined || recorded !== undefined || warnings !== undefined) {
      ANSWERED_STATEMENTS.listen(this.#scope, database.name, message => {
        write?.(message)
        recorded?.add(message)
        warnings?.answered(message)
      })
    }
    return {
      scope: this.#scope,
      database,
      watch: watchWith(warnings, recordStatements || hasPlaces || arePlacesWanted()),
      tag: tagStatements === false ? undefined : statementTag(this.#scope, tagStatements === true ? {} : tagStatements)
    }
  }

  /** What was sent to a database, as far as that is recorded. */
  statements (database: SessionDatabase): RecordedStatement[] {
    return this.#recorded?.of(database.name) ?? []
  }

  /** Nothing comes any more. */
  end (): void {
    for (const listeners of [ANSWERED_STATEMENTS, ENDED_TRANSACTIONS, AWAITED_CONNECTIONS]) listeners.forget(this.#scope)
    for (const warnings of this.#warnings.values()) warnings.end()
  }

  #warn (database: SessionDatabase, acquireTimeout: number): Warnings | undefined {
    const warnings = this.#warnings.get(database) ?? Warnings.of(this.#owner, this.#scope, database, acquireTimeout)
    if (warnings === undefined) return undefined
    this.#warnings.set(database, warnings)
    ENDED_TRANSACTIONS.listen(this.#scope, database.name, message => { warnings.ended(message) })
    AWAITED_CONNECTIONS.listen(this.#scope, database.name, message => { warnings.awaited(message) })
    return warnings
  }
}

function watchWith (warnings: Warnings | undefined, hasPlaces: boolean): Origin['watch'] {
  if (warnings === undefined) return hasPlaces ? currentPlace : undefined
  return sql => {
    warnings.sending(sql)
    return hasPlaces ? currentPlace() : undefined
  }
}
