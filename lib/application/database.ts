import type { EntityManager, MikroORM } from '@mikro-orm/core'
import type { AfterWork } from '../events/callbacks.ts'
import { NoScopeError } from '../errors/errors.ts'
import { LookUps } from '../look-ups/look-ups.ts'
import type { OpenOptions, Rules, RunOptions, Settings } from '../options/options.ts'
import { currentScope } from '../scope/registry.ts'
import { runUnit, type UnitHost } from './run.ts'
import type { Scope } from '../scope/scope.ts'
import type { ScopeKind } from '../types.ts'
import type { ScopeRules } from '../options/route-options.ts'
import type { SessionDatabase } from '../events/session-database.ts'
import { sessionProxy } from '../session/session-proxy.ts'
import { SignalListeners, type Listener, type Signals } from '../events/signals.ts'
import { ConnectionPool } from '../transaction/connection-pool.ts'

/**
 * The sessions' type for each database, by the name that it is registered under. Augment it with your driver's:
 *
 * @example
 * declare module 'fastify-scoped-db' {
 *   interface Databases { default: SqlEntityManager }
 * }
 */
// eslint-disable-next-line @typescript-eslint/no-empty-object-type -- it is for users to fill
export interface Databases {}

/** The type of the sessions of the database registered under a name: what `Databases` says, or else MikroORM's base class. */
export type SessionOf<Name extends string> = Databases extends Record<Name, infer Session extends EntityManager> ? Session : EntityManager

/** The type of `request.db` and `db.session`. */
export type DatabaseSession = SessionOf<'default'>

/** A unit of work outside any request, from `db.open()`. Rolled back at disposal unless it was committed. */
export interface OpenScope<Session extends EntityManager = DatabaseSession> extends AsyncDisposable {
  readonly session: Session
  /** Flushes and commits; the next statement begins a new transaction. */
  commit (): Promise<void>
  /** Rolls back and forgets every entity; the next statement begins a new transaction. */
  rollback (): Promise<void>
}

/** What a database asks of the application that it is registered with. */
export interface DatabaseHost extends UnitHost {
  readonly all: Database[]
  readonly openScopes: number
  use (name: string): Database
  rulesOf (kind: ScopeKind, options: RunOptions): ScopeRules
}

/** What `fastify.db`, the global `db` and `db.use(name)` are: one registered database. */
export class Database<Session extends EntityManager = DatabaseSession> extends LookUps implements SessionDatabase {
  readonly name: string
  readonly orm: MikroORM
  /** @internal Where its scopes take connections from. */
  readonly pool: ConnectionPool
  /** @internal What its scopes do unless a route says something else. */
  readonly rules: Rules
  /** @internal How long its scopes may go on when the application closes, in milliseconds. */
  readonly closeTimeout: number
  /** @internal The databases that it shares its scopes with. */
  readonly host: DatabaseHost
  /** @internal Who wants to be told of its scopes. */
  readonly listeners = new SignalListeners()
  readonly #session: Session

  /** @internal Made by the plugin. */
  constructor (host: DatabaseHost, orm: MikroORM, { name, acquireTimeout, closeTimeout, rules }: Settings) {
    super()
    this.host = host
    this.name = name
    this.orm = orm
    this.pool = new ConnectionPool(acquireTimeout)
    this.rules = rules
    this.closeTimeout = closeTimeout
    this.#session = sessionProxy(() => this.currentSession()) as Session
  }

  /**
   * The database that is registered under another name, with the same scopes.
   * @throws FST_SCOPED_DB_UNKNOWN_DATABASE
   *
   * @example
   * await db.use('analytics').session.insert(Visit, { path })
   */
  use<Name extends string> (name: Name | keyof Databases): Database<SessionOf<Name>> {
    return this.host.use(name) as unknown as Database<SessionOf<Name>>
  }

  /**
   * A proxy for the current scope's session, found anew on every use, so that it can be kept at module level.
   * Using it throws `FST_SCOPED_DB_NO_SCOPE` outside any scope.
   *
   * @example
   * const session = db.session
   * export const findUser = (id: number) => session.findOneOrFail(User, id)
   */
  get session (): Session {
    return this.#session
  }

  /** How many scopes of the application have something to clean up: requests with a session, and every `db.run()` and `db.open()`. */
  get openScopes (): number {
    return this.host.openScopes
  }

  /** Whether the current scope has a session of this database yet. Never makes one. */
  hasSession (): boolean {
    return this.#scope().hasSession(this)
  }

  /** Flushes and commits the current scope now, in all its databases; the next statement begins a new transaction. See {@link Scope.commit}. */
  async commit (): Promise<void> {
    await this.#scope().commit()
  }

  /** Rolls back the current scope now, in all its databases, and forgets every entity; the next statement begins a new transaction. */
  async rollback (): Promise<void> {
    await this.#scope().rollback()
  }

  /** Dooms the current scope: from now on it can only roll back. */
  setRollbackOnly (): void {
    this.#scope().setRollbackOnly()
  }

  /** Drops the current session of this database, rolling back what is open. The next use makes a new one. */
  async remove (): Promise<void> {
    await this.#scope().remove(this)
  }

  /**
   * Runs `fn` in a scope of its own, for jobs, queue consumers, scripts and WebSocket messages. When it resolves, its
   * `commitOnTeardown` decides; when it throws, it is rolled back and the error rethrown. Inside a request it is
   * an independent unit of work.
   *
   * @example
   * await db.run(async session => {
   *   session.create(Job, { done: true })
   * }, { commitOnTeardown: true })
   */
  async run<T> (fn: (session: Session) => T | Promise<T>, options: RunOptions = {}): Promise<T> {
    return await runUnit(this.host, this.host.rulesOf('db.run', options), scope => fn(scope.session(this) as Session))
  }

  /**
   * The same as an object. Nothing is committed unless `commit()` is called: an object cannot know how its block ended.
   *
   * @example
   * await using scope = db.open()
   * scope.session.create(Job, { done: true })
   * await scope.commit()
   */
  open (options: OpenOptions = {}): OpenScope<Session> {
    const scope = this.host.openScope('db.open', this.host.rulesOf('db.open', options))
    const session = () => scope.session(this) as Session
    return {
      get session () {
        return session()
      },
      commit: () => scope.commit(),
      rollback: () => scope.rollback(),
      [Symbol.asyncDispose]: async () => await scope.close()
    }
  }

  /**
   * Has `work` done once, after the current scope is committed: outside its transaction, without delaying the reply. Registered inside
   * `em.transactional()`, it is dropped when that rolls back to its savepoint; when the scope rolls back, it is dropped too. What it
   * throws goes to the log. Without `commitOnTeardown` it is done after the next commit by hand. As Django's `on_commit()`.
   *
   * @example
   * db.afterCommit(async () => { await sendWelcome(user.email) })
   */
  afterCommit (work: AfterWork): void {
    this.#scope().after('commit', this, work)
  }

  /** The same after a rollback: what is outside the database can be undone here. */
  afterRollback (work: AfterWork): void {
    this.#scope().after('rollback', this, work)
  }

  /**
   * Tells `listener` of every scope of the application that has, or has had, a session of this database, opened from now on.
   * @returns a function that ends it
   *
   * @example
   * db.on('committed', ({ changes }) => { for (const user of changes.update) cache.delete(user) })
   */
  on<Name extends keyof Signals> (signal: Name, listener: Listener<Name>): () => void {
    return this.listeners.on(signal, listener)
  }

  /** Whether the application is closed, or `closeTimeout` was over while it was closing. */
  get isClosed (): boolean {
    return this.host.isClosed
  }

  /** @internal */
  protected override currentSession (): EntityManager {
    return this.#scope().session(this)
  }

  /** The current scope, if it is one of this application: another's is not ours to use. */
  #scope (): Scope {
    const scope = currentScope()
    if (scope?.host !== this.host) throw new NoScopeError()
    return scope
  }
}
