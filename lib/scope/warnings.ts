import { aboutScope, type ConnectionMessage, type StatementMessage, type TransactionMessage } from '../diagnostics/messages.ts'
import { currentPlace } from '../diagnostics/place.ts'
import { fingerprint } from '../drivers/sql/fingerprint.ts'
import { RepeatedStatementError } from '../errors/errors.ts'
import type { SessionDatabase } from '../events/signals.ts'
import { warningSettings, type WarningSettings } from '../options/diagnostics-options.ts'
import type { Log, ScopeInfo } from '../types.ts'
import type { ScopeOwner } from './contracts.ts'

/** How many are remembered, of what was told of a database and of the texts of a scope. */
const MOST = 1_000

/** What was told of one database: each thing once, as far back as is remembered. */
export class ToldWarnings {
  readonly #told = new Set<string>()

  /** Whether it is new. From now on it is not. */
  isNew (warning: string): boolean {
    if (this.#told.has(warning)) return false
    if (this.#told.size === MOST) this.#told.delete(String(this.#told.values().next().value))
    this.#told.add(warning)
    return true
  }
}

const TOLD = new WeakMap<SessionDatabase, ToldWarnings>()

/** The same SELECT, values aside. */
interface CountedSelect {
  count: number
  /** Where the first comes from that is one too many. */
  place?: string | undefined
}

const SELECT = /^[\s(]*select\b/i

/** Who is warned of what. */
interface WarningTarget {
  readonly log: Log
  readonly database: string
  readonly route: string | undefined
  readonly told: ToldWarnings
  /** How long a connection may be waited for. */
  readonly acquireTimeout: number
}

/** Warns of what one scope does in one database. */
export class Warnings {
  readonly #settings: WarningSettings
  readonly #target: WarningTarget
  readonly #selects = new Map<string, CountedSelect>()

  constructor (settings: WarningSettings, target: WarningTarget) {
    this.#settings = settings
    this.#target = target
  }

  /** @returns undefined where nobody is to be warned */
  static of (owner: ScopeOwner, scope: ScopeInfo, database: SessionDatabase, acquireTimeout: number): Warnings | undefined {
    const { warnings } = owner.settingsOf(database)
    if (warnings === false) return undefined
    const told = TOLD.get(database) ?? new ToldWarnings()
    TOLD.set(database, told)
    return new Warnings(warningSettings(warnings), { log: owner.log, database: database.name, route: aboutScope(scope).route, told, acquireTimeout })
  }

  /**
   * A statement is about to be sent.
   * @throws RepeatedStatementError when it is one too many, where that is to fail
   */
  sending (sql: string): void {
    if (!SELECT.test(sql)) return
    const statement = fingerprint(sql)
    const select = this.#selects.get(statement) ?? { count: 0 }
    if (this.#selects.size < MOST) this.#selects.set(statement, select)
    const { repeatedStatements, onRepeated } = this.#settings
    if (++select.count <= repeatedStatements) return
    if (select.count === repeatedStatements + 1) select.place = currentPlace()
    if (onRepeated === 'throw') throw new RepeatedStatementError(select.count, select.place ?? 'an unknown place', statement)
  }

  answered ({ sql, duration = 0, place }: StatementMessage): void {
    if (duration < this.#settings.slowStatement) return
    const statement = fingerprint(sql)
    this.#warn(statement, { milliseconds: Math.round(duration), place, statement }, 'a statement was slow')
  }

  ended ({ duration = 0, outcome }: TransactionMessage): void {
    if (duration < this.#settings.longTransaction) return
    this.#warn('transaction', { milliseconds: Math.round(duration), outcome }, 'a transaction was open for long: it has had a connection, and its locks, for all that time')
  }

  awaited ({ waited = 0 }: ConnectionMessage): void {
    const { acquireTimeout } = this.#target
    if (waited < acquireTimeout / 2) return
    this.#warn('connection', { milliseconds: Math.round(waited), acquireTimeout }, 'a connection was waited for longer than half of acquireTimeout: the pool is too small, or others have its connections for long')
  }

  /** Nothing comes any more. */
  end (): void {
    for (const [statement, { count, place }] of this.#selects) {
      if (count <= this.#settings.repeatedStatements) continue
      this.#warn(`repeated ${statement}`, { count, place, statement }, "the same SELECT was sent again and again (N+1): load all at once, with populate or MikroORM's dataloader")
    }
  }

  #warn (what: string, details: object, message: string): void {
    const { log, database, route, told } = this.#target
    if (told.isNew(`${route} ${what}`)) log.warn({ database, route, ...details }, message)
  }
}
