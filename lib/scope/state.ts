import type { Outcome } from '../types.ts'

/**
 * - `open`: statements go through.
 * - `completing`: the outcome is being carried out.
 * - `committed`, `rolled back`: it has been; plain reads still go through, so that a reply can be streamed.
 * - `ended`: by force, and nothing goes through. Whoever still means to commit is to be told: asking for an outcome closes it.
 * - `closed`: nothing goes through.
 */
export type ScopeState = 'open' | 'completing' | 'committed' | 'rolled back' | 'ended' | 'closed'

/** The legal transitions. Any other, a repeated one too, changes nothing. */
const TRANSITIONS: Record<ScopeState, readonly ScopeState[]> = {
  open: ['completing', 'ended', 'closed'],
  completing: ['committed', 'rolled back'],
  committed: ['closed'],
  'rolled back': ['closed'],
  ended: ['closed'],
  closed: []
}

/** What completing ends in. */
export const COMPLETED = { commit: 'committed', rollback: 'rolled back' } as const satisfies Record<Outcome, ScopeState>

/** The state after asking for `wanted`. */
export function transition (state: ScopeState, wanted: ScopeState): ScopeState {
  return TRANSITIONS[state].includes(wanted) ? wanted : state
}
