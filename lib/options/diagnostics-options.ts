import { boolean, isPlainObject, milliseconds, oneOf, type OptionSchema } from './validate.ts'

/** How statements are written to the log. */
export interface EchoOptions {
  /** Of which level the lines are. Default: `'info'`. */
  level?: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | undefined
  /** Whether they have the values of parameters, which can be secret. Default: `false`. */
  parameters?: boolean | undefined
  /** Only those that took at least so many milliseconds. Default: all. */
  slowerThan?: number | undefined
}

/** What is to be seen of a database's statements. */
export interface DiagnosticsOptions {
  /** Write a line for each statement to the log of its request or application. Default: `false`. */
  echo?: boolean | EchoOptions | undefined
  /** Keep what was sent, and from where in the code, for `db.statements`. Default: `false`. */
  recordStatements?: boolean | undefined
}

/** `DiagnosticsOptions` with every default in its place. */
export interface DiagnosticsSettings extends DiagnosticsOptions {
  echo: boolean | EchoOptions
  recordStatements: boolean
}

const ECHO_SCHEMA: Record<keyof EchoOptions, OptionSchema> = {
  level: oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal'),
  parameters: boolean,
  slowerThan: milliseconds
}

export const DIAGNOSTICS_SCHEMA: Record<keyof DiagnosticsOptions, OptionSchema> = {
  echo: { takes: `${boolean.takes}, or { ${Object.keys(ECHO_SCHEMA).join(', ')} }`, accepts: value => boolean.accepts(value) || isPlainObject(value), fields: ECHO_SCHEMA },
  recordStatements: boolean
}

export const DIAGNOSTICS_DEFAULTS: DiagnosticsSettings = { echo: false, recordStatements: false }
