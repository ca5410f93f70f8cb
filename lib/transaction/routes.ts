import { ReadOnlyError, scopeIs } from '../errors/errors.ts'
import type { Place } from './query-streams.ts'
import type { Statement } from './statement.ts'

/**
 * Where a statement goes: `inside` the transaction, which begins if it has not, or `outside`, on any pooled connection,
 * as it would without a transaction.
 */
export type Route = (statement: Statement, begun: boolean) => Place

/** The first statement of any kind begins. */
export const fromTheFirstStatement: Route = () => 'inside'

/** Plain reads before the first other statement stay outside. */
export const fromTheFirstWrite: Route = (statement, begun) => begun || statement.kind !== 'read' ? 'inside' : 'outside'

/** Nothing begins by itself: autocommit. */
export const never: Route = () => 'outside'

/** Refuses what writes. What only may write is the database's to judge, which is told that the transaction is read-only. */
export function readOnly (route: Route): Route {
  return (statement, begun) => {
    if (statement.kind === 'write') throw new ReadOnlyError()
    return route(statement, begun)
  }
}

/** After the outcome: plain reads, each by itself. */
export function afterOutcome (outcome: string): Route {
  return ({ kind }) => {
    if (kind !== 'read') throw scopeIs(outcome)
    return 'outside'
  }
}

export const closed: Route = () => {
  throw scopeIs('closed')
}
