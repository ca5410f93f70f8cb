import type { Outcome } from '../types.ts'

/**
 * - `open`: statements go through.
 * - `ending`: the outcome is being carried out.
 * - `committed`, `rolled back`: it has been; plain reads still go through, so that a reply can be streamed.
 * - `destroyed`: rolled back by force, and nothing goes through. Whoever still means to commit is to be told: asking for an outcome closes it.
 * - `closed`: nothing goes through.
 */
export type ScopeState = 'open' | 'ending' | 'committed' | 'rolled back' | 'destroyed' | 'closed'

/**
 * Where each state can lead to. What is asked of a scope twice, or too late, is no transition: `Scope` answers it as it did first.
 * docs/architecture.md has the same as a table of states and events.
 */
export const TRANSITIONS: Readonly<Record<ScopeState, readonly ScopeState[]>> = {
  // At rest there is nothing to carry out: it ends at once.
  open: ['ending', 'committed', 'rolled back', 'destroyed', 'closed'],
  ending: ['committed', 'rolled back'],
  committed: ['closed'],
  'rolled back': ['closed'],
  destroyed: ['closed'],
  closed: []
}

/** What an outcome leads to. */
export const ENDED = { commit: 'committed', rollback: 'rolled back' } as const satisfies Record<Outcome, ScopeState>
