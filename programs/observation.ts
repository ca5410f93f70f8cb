import type { Name } from './program.ts'
import type { NamedRow } from './rows.ts'

/** What a program sees on its way. */
export type Observation =
  | { readonly found: readonly Name[] }
  /** What was caught, in words that both ORMs share, and what the session shows then: nothing where a failed flush has left it unusable. */
  | { readonly caught: ErrorKind, readonly message: string, readonly shown: readonly NamedRow[] | null }

/** Whether the program has thrown it by itself. What is refused the two ORMs call by different names. */
export type ErrorKind = 'thrown' | 'refused'
