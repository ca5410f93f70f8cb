import type { Driver } from '../drivers/contracts.ts'
import { isRollbackToSavepoint, statementKind, type StatementKind } from '../drivers/sql/statements.ts'
import { UNKNOWN } from '../drivers/unknown.ts'
import { ReadOnlyError, scopeIs } from '../errors/errors.ts'

/** A statement whose kind is found out once, and only if somebody asks. */
export class Statement {
  readonly sql: string
  readonly #driver: Driver
  #kind: StatementKind | undefined

  constructor (sql: string, driver: Driver, kind?: StatementKind) {
    this.sql = sql
    this.#driver = driver
    this.#kind = kind
  }

  get kind (): StatementKind {
    this.#kind ??= statementKind(this.sql, this.#driver.functions)
    return this.#kind
  }

  /** Whether it stands for something else. */
  get isControl (): boolean {
    return CONTROLS.has(this)
  }

  /** Whether it rolls back to a savepoint, so that it goes through where nothing else does. */
  get recovers (): boolean {
    return isRollbackToSavepoint(this.sql)
  }
}

/** Stands for what is run on the transaction's connection by other means than a statement: SAVEPOINT and its kin. */
export const CONTROL = new Statement('', UNKNOWN, 'doubtful')

/** The same for a rollback to a savepoint. */
export const RECOVERY = new Statement('rollback to', UNKNOWN, 'doubtful')

/** The same for a connection that is given away: each of the statements on it is looked at by itself. */
export const PROVIDED = new Statement('', UNKNOWN, 'doubtful')

const CONTROLS = new Set([CONTROL, RECOVERY, PROVIDED])

/** Where a statement goes. */
export type Placement = 'inside' | 'outside'

/**
 * Where a statement goes: `inside` the transaction, which begins if it has not, or `outside`, on any pooled connection,
 * as it would without a transaction.
 */
export type PlacementRule = (statement: Statement, begun: boolean) => Placement

/** The first statement of any kind begins. */
export const fromTheFirstStatement: PlacementRule = () => 'inside'

/** Plain reads before the first other statement stay outside. */
export const fromTheFirstWrite: PlacementRule = (statement, begun) => begun || statement.kind !== 'read' ? 'inside' : 'outside'

/** Nothing begins by itself: autocommit. */
export const never: PlacementRule = () => 'outside'

/**
 * Refuses what writes. What only may write is the database's to judge, which is told that the transaction is read-only; outside any it is told
 * nothing, so that it is refused as well.
 */
export function readOnly (rule: PlacementRule): PlacementRule {
  return (statement, begun) => {
    if (statement.kind === 'write') throw new ReadOnlyError()
    const placement = rule(statement, begun)
    if (placement === 'outside' && statement.kind === 'doubtful' && !statement.isControl) throw new ReadOnlyError()
    return placement
  }
}

/** After the outcome: plain reads, each by itself. */
export function afterOutcome (outcome: string): PlacementRule {
  return ({ kind }) => {
    if (kind !== 'read') throw scopeIs(outcome)
    return 'outside'
  }
}

export const closed: PlacementRule = () => {
  throw scopeIs('closed')
}
