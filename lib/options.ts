import { IsolationLevel, MikroORM } from '@mikro-orm/core'
import type { ForkOptions, Options as MikroOrmOptions } from '@mikro-orm/core'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { inspect } from 'node:util'
import { InvalidOptionError, UnknownOptionError } from './errors.ts'
import type { PoolRules, TransactionRules } from './transaction/rules.ts'

/**
 * Decides the outcome of a request in the place of the rule: `true` commits. A doomed scope rolls back all the same.
 * @param error what was thrown or sent, even if an error handler then answered 200
 */
export type CommitRule = (request: FastifyRequest, reply: FastifyReply, error: Error | undefined) => boolean

/** How MikroORM forks the session. What the scope itself decides is left out. */
export type SessionOptions = Omit<ForkOptions, ReservedForkOption>

/** What a route can say for itself, in `config.db`. */
export interface RouteOptions {
  /** Commit what went well, roll back what did not. Default: `false`, plain MikroORM. */
  commitOnTeardown?: boolean | CommitRule | undefined
  /** Fork options of the session: flush mode, schema of a tenant, ... `request` is undefined in `db.run()`. */
  sessionOptions?: SessionOptions | ((request: FastifyRequest | undefined) => SessionOptions) | undefined
  /** When the lazy transaction begins. Default: `'auto'`, which is `'write'` on GET, HEAD and OPTIONS and `'statement'` otherwise. */
  begin?: 'auto' | 'statement' | 'write' | undefined
  /** Isolation level of the lazy transaction; implies `begin: 'statement'`. Default: the server's. */
  isolationLevel?: IsolationLevel | `${IsolationLevel}` | undefined
  /** A read-only transaction; a statement that writes is refused with `FST_SCOPED_DB_READ_ONLY`. Default: `false`. */
  readOnly?: boolean | undefined
  /** When the client goes away, cancel what runs and roll back. Default: `false`. */
  cancelOnAbort?: boolean | undefined
}

export interface ScopedDbOptions extends RouteOptions {
  /** A MikroORM, which stays yours to close; or its options; or nothing, and MikroORM's config file is used. */
  orm?: MikroORM | Partial<MikroOrmOptions> | undefined
  /** Name of the database. Default: `'default'`. */
  name?: string | undefined
  /** How long to wait for a pooled connection, in milliseconds. Default: 10 000. */
  acquireTimeout?: number | undefined
  /** How long scopes may stay open when the application closes, in milliseconds; then they are rolled back. Default: 10 000. */
  closeTimeout?: number | undefined
}

/** What `db.run()` and `db.open()` take. */
export interface RunOptions extends Omit<RouteOptions, 'commitOnTeardown' | 'sessionOptions' | 'cancelOnAbort'> {
  commitOnTeardown?: boolean | undefined
  sessionOptions?: SessionOptions | undefined
}

/** Options with every default in its place. */
export interface Rules extends RouteOptions {
  commitOnTeardown: boolean | CommitRule
  begin: 'auto' | 'statement' | 'write'
  readOnly: boolean
  cancelOnAbort: boolean
}

export interface Settings {
  readonly orm: MikroORM | Partial<MikroOrmOptions> | undefined
  readonly name: string
  readonly acquireTimeout: number
  readonly closeTimeout: number
  readonly rules: Rules
}

const RESERVED_FORK_OPTIONS = ['clear', 'useContext', 'disableContextResolution', 'keepTransactionContext', 'disableTransactions', 'session'] as const
type ReservedForkOption = typeof RESERVED_FORK_OPTIONS[number]

interface Check {
  readonly takes: string
  readonly accepts: (value: unknown) => boolean
}

const boolean: Check = { takes: 'true or false', accepts: value => typeof value === 'boolean' }

const sessionOptions: Check = {
  takes: `MikroORM fork options without ${RESERVED_FORK_OPTIONS.join(', ')}`,
  accepts: value => isPlainObject(value) && RESERVED_FORK_OPTIONS.every(option => !(option in value))
}

const milliseconds: Check = {
  takes: 'a number of milliseconds from 1 to 2147483647',
  accepts: value => Number.isInteger(value) && Number(value) >= 1 && Number(value) <= 2147483647
}

const RUN_CHECKS: Record<keyof RunOptions, Check> = {
  commitOnTeardown: boolean,
  sessionOptions,
  begin: oneOf('auto', 'statement', 'write'),
  isolationLevel: oneOf(...Object.values(IsolationLevel)),
  readOnly: boolean
}

const ROUTE_CHECKS: Record<keyof RouteOptions, Check> = {
  ...RUN_CHECKS,
  commitOnTeardown: orFunction(boolean, '(request, reply, error) => boolean'),
  sessionOptions: orFunction(sessionOptions, '(request) => fork options'),
  cancelOnAbort: boolean
}

const PLUGIN_CHECKS: Record<keyof ScopedDbOptions, Check> = {
  orm: { takes: 'a MikroORM instance, or MikroORM options', accepts: value => value instanceof MikroORM || isPlainObject(value) },
  name: { takes: 'a name that is not empty', accepts: value => typeof value === 'string' && value !== '' },
  ...ROUTE_CHECKS,
  acquireTimeout: milliseconds,
  closeTimeout: milliseconds
}

/** Fastify hands these of its own to every plugin. */
const FASTIFY_OPTIONS = ['prefix', 'logLevel', 'logSerializers']

/** Checks what `register()` was given and fills in the defaults. */
export function settingsOf (options: ScopedDbOptions): Settings {
  const own = Object.fromEntries(Object.entries(options).filter(([option]) => !FASTIFY_OPTIONS.includes(option)))
  check(own, PLUGIN_CHECKS, option => `the option "${option}"`)
  const { orm, name = 'default', acquireTimeout = 10_000, closeTimeout = 10_000, ...rules } = own as ScopedDbOptions
  return { orm, name, acquireTimeout, closeTimeout, rules: merge(DEFAULT_RULES, rules) }
}

/**
 * Checks a route's `config.db` and merges it into the plugin's rules.
 * @returns `false` for a route without a scope
 */
export function routeRules (rules: Rules, options: unknown, route: string): Rules | false {
  if (options === undefined) return rules
  if (options === false) return false
  if (!isPlainObject(options)) throw new InvalidOptionError(`config.db of ${route}`, 'false or an object', inspect(options))
  check(options, ROUTE_CHECKS, option => `the option "${option}" in config.db of ${route}`)
  return merge(rules, options)
}

/** Checks the options of `db.run()` and `db.open()`, and merges them into the plugin's rules. */
export function runRules (rules: Rules, options: RunOptions): Rules {
  check(options, RUN_CHECKS, option => `the option "${option}" of db.run()`)
  return merge(rules, options)
}

/** What the rules mean for the transaction of one scope. */
export function transactionRules (rules: Rules, { acquireTimeout, loans }: PoolRules, isSafe: boolean): TransactionRules {
  const { commitOnTeardown, begin, isolationLevel, readOnly } = rules
  const automatic = isolationLevel === undefined && isSafe ? 'write' : 'statement'
  return {
    mode: commitOnTeardown === false ? 'manual' : 'automatic',
    begin: begin === 'auto' || isolationLevel !== undefined ? automatic : begin,
    isolationLevel: isolationLevel as IsolationLevel | undefined,
    readOnly,
    acquireTimeout,
    loans
  }
}

/** Fork options for one session. A function is checked each time, since what it gives is known only then. */
export function forkOptions ({ sessionOptions: given = {} }: Rules, request: FastifyRequest | undefined): SessionOptions {
  if (typeof given !== 'function') return given
  const options = given(request)
  check({ sessionOptions: options }, RUN_CHECKS, option => `the function given as "${option}"`)
  return options
}

const DEFAULT_RULES: Rules = { commitOnTeardown: false, begin: 'auto', readOnly: false, cancelOnAbort: false }

function merge (rules: Rules, options: RouteOptions): Rules {
  const given = Object.entries(options).filter(([, value]) => value !== undefined)
  return { ...rules, ...Object.fromEntries(given) }
}

function check (options: object, checks: Record<string, Check>, describe: (option: string) => string): void {
  for (const [option, value] of Object.entries(options)) {
    const expected = Object.hasOwn(checks, option) ? checks[option] : undefined
    if (expected === undefined) throw new UnknownOptionError(describe(option).replace('the option ', ''), Object.keys(checks).join(', '))
    if (value !== undefined && !expected.accepts(value)) {
      throw new InvalidOptionError(describe(option), expected.takes, inspect(value, { depth: 0, breakLength: Infinity }))
    }
  }
}

function oneOf (...values: string[]): Check {
  return { takes: values.map(value => `'${value}'`).join(', '), accepts: value => values.includes(value as string) }
}

function orFunction ({ takes, accepts }: Check, signature: string): Check {
  return { takes: `${takes}, or a function ${signature}`, accepts: value => typeof value === 'function' || accepts(value) }
}

function isPlainObject (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
