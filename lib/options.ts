import { FlushMode, IsolationLevel, MikroORM } from '@mikro-orm/core'
import type { ForkOptions, Options as MikroOrmOptions } from '@mikro-orm/core'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { boolean, isPlainObject, oneOf, orFunction, plainObject, readOptions, type Check, type Place } from './check.ts'
import { InvalidOptionError } from './errors.ts'
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

const FORK_CHECKS: Record<keyof SessionOptions, Check> = {
  flushMode: oneOf(...Object.values(FlushMode)),
  schema: { takes: 'the name of a schema', accepts: value => typeof value === 'string' },
  loggerContext: plainObject,
  signal: { takes: 'an AbortSignal', accepts: value => value instanceof AbortSignal },
  inflightQueryAbortStrategy: oneOf('ignore query', 'cancel query', 'kill session'),
  freshEventManager: boolean,
  cloneEventManager: boolean
}

const sessionOptions: Check = {
  takes: `MikroORM fork options without ${RESERVED_FORK_OPTIONS.join(', ')}`,
  accepts: value => isPlainObject(value) && RESERVED_FORK_OPTIONS.every(option => !Object.hasOwn(value as object, option)),
  fields: FORK_CHECKS
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

export const ORM_TAKES = 'a MikroORM instance, or MikroORM options'

const PLUGIN_CHECKS: Record<keyof ScopedDbOptions, Check> = {
  orm: { takes: ORM_TAKES, accepts: value => value instanceof MikroORM || isPlainObject(value) },
  name: { takes: 'a name that is not empty', accepts: value => typeof value === 'string' && value !== '' },
  ...ROUTE_CHECKS,
  acquireTimeout: milliseconds,
  closeTimeout: milliseconds
}

/** Fastify hands these of its own to every plugin. */
const FASTIFY_OPTIONS = ['prefix', 'logLevel', 'logSerializers']

/** Checks what `register()` was given and fills in the defaults. */
export function settingsOf (options: unknown): Settings {
  const own = readOptions(options ?? {}, PLUGIN_CHECKS, { whole: 'register()', ignored: FASTIFY_OPTIONS }) as ScopedDbOptions
  const { orm, name = 'default', acquireTimeout = 10_000, closeTimeout = 10_000, ...rules } = own
  return { orm, name, acquireTimeout, closeTimeout, rules: { ...DEFAULT_RULES, ...rules } as Rules }
}

/**
 * Checks a route's `config.db` and merges it into the plugin's rules.
 * @returns `false` for a route without a scope
 */
export function routeRules (rules: Rules, options: unknown, route: string): Rules | false {
  if (options === undefined) return rules
  if (options === false) return false
  const whole = `config.db of ${route}`
  return merge(rules, options, ROUTE_CHECKS, { whole, or: 'false', suffix: ` in ${whole}` })
}

/** Checks the options of `db.run()` and `db.open()`, and merges them into the plugin's rules. */
export function runRules (rules: Rules, options: RunOptions): Rules {
  const whole = 'db.run() or db.open()'
  return merge(rules, options, RUN_CHECKS, { whole, suffix: ` of ${whole}` })
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
  const options: unknown = given(request)
  const suffix = ' in what its function gave'
  // Most likely a forgotten `return`.
  if (options === undefined) throw new InvalidOptionError(`the option "sessionOptions"${suffix}`, sessionOptions.takes, 'undefined')
  return readOptions({ sessionOptions: options }, RUN_CHECKS, { whole: 'sessionOptions', suffix })['sessionOptions'] as SessionOptions
}

const DEFAULT_RULES: Rules = { commitOnTeardown: false, begin: 'auto', readOnly: false, cancelOnAbort: false }

function merge (rules: Rules, options: unknown, checks: Record<string, Check>, place: Place): Rules {
  const own = readOptions(options, checks, place) as RouteOptions
  const merged = { ...rules, ...own } as Rules
  if (merged.commitOnTeardown === false) refuseWithoutTransaction(own, place)
  return merged
}

/** Plugin options may be of use to a route that has the transaction; one's own that cannot be of use must not look as if they were. */
function refuseWithoutTransaction ({ isolationLevel, begin = 'auto' }: RouteOptions, { suffix = '' }: Place): void {
  const idle = isolationLevel !== undefined ? 'isolationLevel' : begin !== 'auto' ? 'begin' : undefined
  if (idle !== undefined) throw new InvalidOptionError(`the option "${idle}"${suffix}`, 'a commitOnTeardown that is not false beside it', 'false')
}
