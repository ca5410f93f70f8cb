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

/** What scopes are warned of. `false` in the place of a number: never. */
export interface WarningOptions {
  /** The same SELECT, values aside, more often than this in one scope. Default: 10. */
  repeatedStatements?: number | false | undefined
  /** What becomes of it: a line in the log, or the statement fails, with `FST_SCOPED_DB_REPEATED_STATEMENT`: for tests. Default: `'warn'`. */
  onRepeated?: 'warn' | 'throw' | undefined
  /** A statement that took at least so many milliseconds. Default: 200. */
  slowStatement?: number | false | undefined
  /** A transaction that was open for at least so many milliseconds. Default: 1000. */
  longTransaction?: number | false | undefined
}

/** What the comment says that is added to statements. */
export interface TagOptions {
  /** The URL of the request's route, as it was declared. Default: `true`. */
  route?: boolean | undefined
  /** Its method. Default: `true`. */
  method?: boolean | undefined
  /** The request's id, which makes each text different. Default: `false`. */
  requestId?: boolean | undefined
  /** The `traceparent` that the client has sent, which makes each text different. Default: `false`. */
  traceparent?: boolean | undefined
}

/** What is to be seen of a database's statements. */
export interface DiagnosticsOptions {
  /** Write a line for each statement to the log of its request or application. Default: `false`. */
  echo?: boolean | EchoOptions | undefined
  /** Keep what was sent, and from where in the code, for `db.statements`. Default: `false`. */
  recordStatements?: boolean | undefined
  /** Warn, in the log, of the same SELECT again and again, of slow statements, long transactions and long waits. Default: `false` where `NODE_ENV` is `production`, else `true`. */
  warnings?: boolean | WarningOptions | undefined
  /** Add a comment to each statement that says which route it is for, in the format of sqlcommenter. Default: `false`. */
  tagStatements?: boolean | TagOptions | undefined
}

/** `DiagnosticsOptions` with every default in its place. */
export interface DiagnosticsSettings extends DiagnosticsOptions {
  echo: boolean | EchoOptions
  recordStatements: boolean
  warnings: boolean | WarningOptions
  tagStatements: boolean | TagOptions
}

/** `WarningOptions` with every default in its place, and infinity for never. */
export interface WarningSettings {
  readonly repeatedStatements: number
  readonly onRepeated: 'warn' | 'throw'
  readonly slowStatement: number
  readonly longTransaction: number
}

const ECHO_SCHEMA: Record<keyof EchoOptions, OptionSchema> = {
  level: oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal'),
  parameters: boolean,
  slowerThan: milliseconds
}

const count: OptionSchema = { takes: 'a number from 1', accepts: value => Number.isInteger(value) && Number(value) >= 1 }

const WARNING_SCHEMA: Record<keyof WarningOptions, OptionSchema> = {
  repeatedStatements: orFalse(count),
  onRepeated: oneOf('warn', 'throw'),
  slowStatement: orFalse(milliseconds),
  longTransaction: orFalse(milliseconds)
}

const TAG_SCHEMA: Record<keyof TagOptions, OptionSchema> = { route: boolean, method: boolean, requestId: boolean, traceparent: boolean }

export const DIAGNOSTICS_SCHEMA: Record<keyof DiagnosticsOptions, OptionSchema> = {
  echo: orFields(ECHO_SCHEMA),
  recordStatements: boolean,
  warnings: orFields(WARNING_SCHEMA),
  tagStatements: orFields(TAG_SCHEMA)
}

export function diagnosticsDefaults (): DiagnosticsSettings {
  return { echo: false, recordStatements: false, warnings: process.env['NODE_ENV'] !== 'production', tagStatements: false }
}

/** What is to be warned of. */
export function warningSettings (warnings: true | WarningOptions): WarningSettings {
  const { repeatedStatements = 10, onRepeated = 'warn', slowStatement = 200, longTransaction = 1_000 } = warnings === true ? {} : warnings
  return { repeatedStatements: orNever(repeatedStatements), onRepeated, slowStatement: orNever(slowStatement), longTransaction: orNever(longTransaction) }
}

function orNever (threshold: number | false): number {
  return threshold === false ? Infinity : threshold
}

function orFalse (schema: OptionSchema): OptionSchema {
  return { takes: `${schema.takes}, or false`, accepts: value => value === false || schema.accepts(value) }
}

/** All of it or nothing, or what is said in detail. */
function orFields (fields: Record<string, OptionSchema>): OptionSchema {
  return { takes: `${boolean.takes}, or { ${Object.keys(fields).join(', ')} }`, accepts: value => boolean.accepts(value) || isPlainObject(value), fields }
}
