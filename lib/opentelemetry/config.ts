/** What `new ScopedDbInstrumentation()` takes. */
export interface ScopedDbInstrumentationConfig {
  /** Whether it listens from the start. Default: `true`. */
  enabled?: boolean
  /**
   * Whether each statement has a span, and is part of `db.client.operation.duration`. `false` where an instrumentation of the driver makes both.
   * Default: `true`.
   */
  statements?: boolean
  /**
   * The text of a statement in its span:
   * - `'safe'` (default): with `?` for each literal, or not at all where they cannot be told;
   * - `'raw'`: as it is;
   * - `'none'`: not at all.
   */
  queryText?: 'safe' | 'raw' | 'none'
  /** Whether the span of a statement has the values for its placeholders: they can be secret. Default: `false`. */
  parameters?: boolean
}

/** The same, with every default in its place. */
export type Config = Required<ScopedDbInstrumentationConfig>

export const DEFAULTS: Config = { enabled: true, statements: true, queryText: 'safe', parameters: false }
