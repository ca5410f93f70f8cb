import type { EntityManager, FlushMode, ForkOptions, IDatabaseDriver, IsolationLevel, MikroORM, Options as MikroOrmOptions } from '@mikro-orm/core'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { diagnosticsDefaults, DIAGNOSTICS_SCHEMA, type DiagnosticsOptions, type DiagnosticsSettings } from './diagnostics-options.ts'
import { readYourWrites, replicas, type ReadYourWritesOptions, type ReplicaOptions } from './replica-options.ts'
import { boolean, isPlainObject, milliseconds, oneOf, onlyFunction, orFunction, plainObject, readOptions, type OptionSchema, type OptionPath } from './validate.ts'

// Longer than other files: an option's type, its docstring and how it is checked are read together.

/**
 * Decides the outcome of a request in the place of the rule: `true` commits. A doomed scope rolls back all the same.
 * @param error what was thrown or sent, even if an error handler then answered 200
 */
export type CommitRule = (request: FastifyRequest, reply: FastifyReply, error: Error | undefined) => boolean

/** How MikroORM forks the session. What the scope itself decides is left out, and refused. */
export type SessionOptions = Omit<ForkOptions, ReservedForkOption>

/** What is said of a database's scopes when it is registered, and can be said differently for one route. */
export interface ScopeOptions extends DiagnosticsOptions {
  /** Commit what went well, roll back what did not. Default: `false`, plain MikroORM. */
  commitOnTeardown?: boolean | CommitRule | undefined
  /** Fork options of the session: flush mode, schema of a tenant, ... `request` is undefined in `db.run()`. */
  sessionOptions?: SessionOptions | ((request: FastifyRequest | undefined) => SessionOptions) | undefined
  /** When the lazy transaction begins. Default: `'auto'`, which is `'write'` on GET, HEAD and OPTIONS and `'statement'` otherwise. */
  begin?: 'auto' | 'statement' | 'write' | undefined
  /** Whether BEGIN is sent together with the first statement, where the database can do that safely: one round trip less. Default: `true`. */
  beginWithFirst?: boolean | undefined
  /** Isolation level of the lazy transaction; implies `begin: 'statement'`. Default: the server's. */
  isolationLevel?: IsolationLevel | `${IsolationLevel}` | undefined
  /** A read-only transaction; a statement that writes is refused with `FST_SCOPED_DB_READ_ONLY`. Default: `false`. */
  readOnly?: boolean | undefined
  /** The lazy transaction sees what other nodes of its cluster have committed before; implies `begin: 'statement'`. Default: `false`. */
  causalReads?: boolean | undefined
  /** When the client goes away, cancel what runs and roll back. Default: `false`. */
  cancelOnAbort?: boolean | undefined
  /** Answer errors of the database with 404, 409, 422 and 503 where they mean that, rather than with 500. Default: `false`. */
  mapErrors?: boolean | undefined
}

/** How often work is done when it fails with a transient error, and how long to wait in between. */
export interface RetryOptions {
  /** How often at most, the first time included: 2 to 100. Default: 3. */
  attempts?: number | undefined
  /**
   * The longest wait before the second attempt, in milliseconds. It doubles with each attempt, up to 30 seconds, and the wait is a random part
   * of it. Default: 50.
   */
  backoff?: number | undefined
  /**
   * Decides in the place of the rule whether to go on after `error`.
   * @param isTransient what the rule says: a deadlock, a lock wait timeout, a serialization failure, a lost connection
   */
  when?: ((error: unknown, isTransient: boolean) => boolean) | undefined
}

/** What a route can say for itself, in `config.db`: of every database, and in `use` of one, by its name. */
export interface RouteOptions extends ScopeOptions {
  /** Run the handler again when it, or its commit, fails with a transient error: how often at most, the first time included. Default: never. */
  retry?: number | RetryOptions | undefined
  /** Options of one database, by its name: they override those beside them. */
  use?: Record<string, ScopeOptions> | undefined
}

/** A MikroORM, of any driver and with any entities. */
type AnyMikroORM = MikroORM<IDatabaseDriver, EntityManager, Readonly<NonNullable<MikroOrmOptions['entities']>>>

/** What `register()` takes. */
export interface ScopedDbOptions extends ScopeOptions {
  /** A MikroORM, which stays yours to close; or its options; or nothing, and MikroORM's config file is used. */
  orm?: AnyMikroORM | Partial<MikroOrmOptions> | undefined
  /** Name of the database, for `db.use(name)`. Default: `'default'`. */
  name?: string | undefined
  /** How long to wait for a pooled connection, in milliseconds. Default: 10 000. */
  acquireTimeout?: number | undefined
  /** Connect at start, and fail there if the database cannot be reached or refuses the login. Default: `false`, the first statement connects. */
  checkConnection?: boolean | undefined
  /** How long scopes may stay open when the application closes, in milliseconds; then they are rolled back. Default: 10 000. */
  closeTimeout?: number | undefined
  /** Which of MikroORM's `replicas` serve what is `readOnly`. Default: all that can be reached. */
  replicas?: ReplicaOptions | undefined
  /** What is `readOnly` reads what the same client has written. Default: it may be older, as old as a replica is. */
  readYourWrites?: ReadYourWritesOptions | undefined
}

/** What `db.run()` and `db.open()` can say of one database. */
export interface RunScopeOptions extends Omit<ScopeOptions, 'commitOnTeardown' | 'sessionOptions' | 'cancelOnAbort' | 'mapErrors'> {
  /** Flush and commit when the function resolves; `false` is plain MikroORM. Default: what the plugin was given; a function counts as `true`. */
  commitOnTeardown?: boolean | undefined
  /** Fork options of the session, in the place of the plugin's. */
  sessionOptions?: SessionOptions | undefined
}

/** What `db.open()` takes: of every database, and in `use` of one, by its name. */
export interface OpenOptions extends RunScopeOptions {
  /** Options of one database, by its name: they override those beside them. */
  use?: Record<string, RunScopeOptions> | undefined
}

/** What `db.run()` takes. */
export interface RunOptions extends OpenOptions {
  /** Run the function again when it, or its commit, fails with a transient error: how often at most, the first time included. Default: never. */
  retry?: number | RetryOptions | undefined
}

/** `ScopeOptions` with every default in its place. */
export interface ScopeSettings extends Omit<ScopeOptions, keyof DiagnosticsOptions>, DiagnosticsSettings {
  commitOnTeardown: boolean | CommitRule
  begin: 'auto' | 'statement' | 'write'
  beginWithFirst: boolean
  readOnly: boolean
  causalReads: boolean
  cancelOnAbort: boolean
  mapErrors: boolean
}

/** `ScopedDbOptions` with every default in its place. */
export interface DatabaseSettings extends ScopeSettings, Pick<ScopedDbOptions, 'orm' | 'replicas' | 'readYourWrites'> {
  name: string
  acquireTimeout: number
  checkConnection: boolean
  closeTimeout: number
}

const RESERVED_FORK_OPTIONS = ['clear', 'useContext', 'disableContextResolution', 'keepTransactionContext', 'disableTransactions'] as const
type ReservedForkOption = typeof RESERVED_FORK_OPTIONS[number]

/** MikroORM's, all of them, or the types would not fit. */
const FLUSH_MODES = Object.keys({ commit: 0, auto: 0, always: 0 } satisfies Record<`${FlushMode}`, 0>)

const ISOLATION_LEVELS = Object.keys({
  'read uncommitted': 0, 'read committed': 0, snapshot: 0, 'repeatable read': 0, serializable: 0
} satisfies Record<`${IsolationLevel}`, 0>)

const FORK_SCHEMA: Record<keyof SessionOptions, OptionSchema> = {
  flushMode: oneOf(...FLUSH_MODES),
  schema: { takes: 'the name of a schema', accepts: value => typeof value === 'string' },
  loggerContext: plainObject,
  signal: { takes: 'an AbortSignal', accepts: value => value instanceof AbortSignal },
  inflightQueryAbortStrategy: oneOf('ignore query', 'cancel query', 'kill session'),
  freshEventManager: boolean,
  cloneEventManager: boolean,
  session: {
    takes: '{ role, variables }',
    accepts: isPlainObject,
    fields: { role: { takes: 'the name of a role', accepts: value => typeof value === 'string' }, variables: plainObject }
  }
}

export const sessionOptions: OptionSchema = {
  takes: `MikroORM fork options without ${RESERVED_FORK_OPTIONS.join(', ')}`,
  accepts: value => isPlainObject(value) && RESERVED_FORK_OPTIONS.every(option => !Object.hasOwn(value as object, option)),
  fields: FORK_SCHEMA
}

const attempts: OptionSchema = { takes: 'a number of attempts from 2 to 100', accepts: value => Number.isInteger(value) && Number(value) >= 2 && Number(value) <= 100 }

const RETRY_SCHEMA: Record<keyof RetryOptions, OptionSchema> = {
  attempts,
  backoff: milliseconds,
  when: onlyFunction('(error, isTransient) => boolean')
}

const retry: OptionSchema = {
  takes: `${attempts.takes}, or { attempts, backoff, when }`,
  accepts: value => attempts.accepts(value) || isPlainObject(value),
  fields: RETRY_SCHEMA
}

const RUN_SCHEMA: Record<keyof RunScopeOptions, OptionSchema> = {
  commitOnTeardown: boolean,
  sessionOptions,
  begin: oneOf('auto', 'statement', 'write'),
  beginWithFirst: boolean,
  isolationLevel: oneOf(...ISOLATION_LEVELS),
  readOnly: boolean,
  causalReads: boolean,
  ...DIAGNOSTICS_SCHEMA
}

const SCOPE_SCHEMA: Record<keyof ScopeOptions, OptionSchema> = {
  ...RUN_SCHEMA,
  commitOnTeardown: orFunction(boolean, '(request, reply, error) => boolean'),
  sessionOptions: orFunction(sessionOptions, '(request) => fork options'),
  cancelOnAbort: boolean,
  mapErrors: boolean
}

export const ORM_TAKES = 'a MikroORM instance, or MikroORM options'

const PLUGIN_SCHEMA: Record<keyof ScopedDbOptions, OptionSchema> = {
  // Which of the two it is, or neither, is found out by whoever opens it.
  orm: { takes: ORM_TAKES, accepts: value => typeof value === 'object' && value !== null },
  name: { takes: 'a name that is not empty', accepts: value => typeof value === 'string' && value !== '' },
  ...SCOPE_SCHEMA,
  acquireTimeout: milliseconds,
  checkConnection: boolean,
  closeTimeout: milliseconds,
  replicas,
  readYourWrites
}

const DEFAULTS: Omit<DatabaseSettings, keyof DiagnosticsSettings> = {
  name: 'default',
  commitOnTeardown: false,
  begin: 'auto',
  beginWithFirst: true,
  readOnly: false,
  causalReads: false,
  cancelOnAbort: false,
  mapErrors: false,
  acquireTimeout: 10_000,
  checkConnection: false,
  closeTimeout: 10_000
}

/** Fastify hands these of its own to every plugin. */
const FASTIFY_OPTIONS = ['prefix', 'logLevel', 'logSerializers']

/** Checks what `register()` was given and fills in the defaults. */
export function databaseSettings (options: unknown): DatabaseSettings {
  return { ...DEFAULTS, ...diagnosticsDefaults(), ...readOptions(options ?? {}, PLUGIN_SCHEMA, { whole: 'register()', ignored: FASTIFY_OPTIONS }) }
}

/** Checks a route's `config.db`, on an application with databases of these names. */
export function readRouteOptions (options: unknown, names: string[], path: OptionPath): RouteOptions {
  return readOptions(options, { ...withUse(SCOPE_SCHEMA, names), retry }, path)
}

/** Checks the options of `db.run()`. */
export function readRunOptions (options: unknown, names: string[], path: OptionPath): RunOptions {
  return readOptions(options, { ...withUse(RUN_SCHEMA, names), retry }, path)
}

/** Checks the options of `db.open()`. */
export function readOpenOptions (options: unknown, names: string[], path: OptionPath): OpenOptions {
  return readOptions(options, withUse(RUN_SCHEMA, names), path)
}

/** Checks what a function given as `sessionOptions` gave. */
export function readSessionOptions (options: unknown, path: OptionPath): SessionOptions {
  return readOptions({ sessionOptions: options }, RUN_SCHEMA, path)['sessionOptions'] as SessionOptions
}

function withUse (schema: Record<string, OptionSchema>, names: string[]): Record<string, OptionSchema> {
  const ofOne: OptionSchema = { ...plainObject, fields: schema }
  return { ...schema, use: { takes: 'options by the name of a database', accepts: isPlainObject, fields: Object.fromEntries(names.map(name => [name, ofOne])) } }
}
