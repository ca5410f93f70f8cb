import type { EntityManager, MikroORM } from '@mikro-orm/core'
import type { DatabaseTarget } from '../diagnostics/messages.ts'
import type { AfterWork } from '../events/callbacks.ts'
import { NoScopeError, ScopeClosedError } from '../errors/errors.ts'
import type { DatabaseSettings, OpenOptions, RunOptions } from '../options/options.ts'
import { assertFunction } from '../options/validate.ts'
import { currentInfo, currentScope } from '../scope/registry.ts'
import type { ScopeHost } from '../scope/contracts.ts'
import type { RecordedStatement } from '../scope/recorded-statements.ts'
import type { Scope } from '../scope/scope.ts'
import { Monitored } from './monitored.ts'
import { openScope, type OpenScope } from './open-scope.ts'
import type { Databases, DatabaseSession, SessionOf } from './session-types.ts'
import { sessionProxy } from '../session/session-proxy.ts'
import { targetOf } from '../session/target.ts'
import { SignalListeners, type Listener, type SessionDatabase, type Signals } from '../events/signals.ts'
import type { Replicas } from '../replicas/replicas.ts'
import { ConnectionPool } from '../transaction/connection-pool.ts'
import type { ScopeInfo } from '../types.ts'

/** What a database asks of the application that it is registered with. */
export interface DatabaseHost extends ScopeHost {
  readonly all: Database[]
  readonly openScopes: number
  /** Whether a scope that is open is one of the application's. */
  isOpen (scope: ScopeInfo): boolean
  readonly retries: number
  use (name: string): Database
  run<T> (work: (scope: Scope) => T | Promise<T>, options: RunOptions): Promise<T>
  open (options: OpenOptions): Scope
}

/** What `fastify.db`, the global `db` and `db.use(name)` are: one registered database. */
export class Database<Session extends EntityManager = DatabaseSession> extends Monitored implements SessionDatabase {
  /** The name that it is registered under. */
  readonly name: string
  /** Its MikroORM. In a scope, `orm.em` and every repository made from it are the scope's session. */
  readonly orm: MikroORM
  /** @internal Where it is. */
  readonly target: DatabaseTarget
  /** @internal Where its scopes take connections from. */
  readonly pool: ConnectionPool
  /** @internal Where what only reads is read from, if MikroORM has any. */
  readonly replicas: Replicas | undefined
  /** @internal What it was registered with. */
  readonly settings: DatabaseSettings
  /** @internal The application that it is registered with. */
  readonly host: DatabaseHost
  /** @internal Who wants to be told of its scopes. */
  readonly listeners = new SignalListeners()
  readonly #session: Session

  /** @internal Made by the plugin. */
  constructor (host: DatabaseHost, orm: MikroORM, settings: DatabaseSettings, replicas: Replicas | undefined) {
    const pool = new ConnectionPool(settings.acquireTimeout)
    super(host, orm, pool)
    this.host = host
    this.name = settings.name
    this.orm = orm
    this.target = targetOf(orm)
    this.pool = pool
    this.settings = settings
    this.replicas = replicas
    this.#session = sessionProxy(() => orm, () => this.currentSession()) as Session
  }

  /**
   * The database that is registered under another name, with the same scopes.
   * @throws FST_SCOPED_DB_UNKNOWN_DATABASE if there is none
   *
   * @example
   * await db.use('analytics').session.insert(Visit, { path })
   */
  use<Name extends string> (name: Name | keyof Databases): Database<SessionOf<Name>> {
    return this.host.use(name) as unknown as Database<SessionOf<Name>>
  }

  /**
   * A proxy for the current scope's session, found anew on every use, so that it can be kept at module level. Using it fails with
   * `FST_SCOPED_DB_NO_SCOPE` outside any scope, and `FST_SCOPED_DB_SCOPE_CLOSED` in one that is closed: a method that gives a promise rejects, any
   * other throws.
   *
   * @example
   * const session = db.session
   * export const findUser = (id: number) => session.findOneOrFail(User, id)
   */
  get session (): Session {
    return this.#session
  }

  /**
   * What the current scope is for, or undefined outside any: to tell log lines of a request from those of a job. Never throws, and makes
   * neither a scope nor a session. Work that outlives its request still has that request here.
   *
   * @example
   * const log = db.current?.request?.log ?? app.log
   */
  get current (): ScopeInfo | undefined {
    return currentInfo(this.host)
  }

  /**
   * What the current scope has sent to this database up to now, the last 1000 statements, with `recordStatements`; else nothing.
   * @throws FST_SCOPED_DB_NO_SCOPE outside any scope
   *
   * @example
   * app.addHook('onResponse', async request => { request.log.info({ statements: db.statements.length }) })
   */
  get statements (): RecordedStatement[] {
    return this.#scope().report.statements(this)
  }

  /** How many scopes of the application have something to clean up: requests with a session, and every `db.run()` and `db.open()`. */
  get openScopes (): number {
    return this.host.openScopes
  }

  /**
   * Whether the current scope has a session of this database yet. Never makes one.
   * @throws FST_SCOPED_DB_NO_SCOPE outside any scope
   */
  hasSession (): boolean {
    return this.#scope().hasSession(this)
  }

  /**
   * Flushes and commits the current scope now, in all its databases; the next statement begins a new transaction.
   * @throws FST_SCOPED_DB_NO_SCOPE outside any scope
   * @throws FST_SCOPED_DB_SCOPE_CLOSED once the scope's outcome is there
   * @throws FST_SCOPED_DB_ROLLBACK_ONLY if the scope is doomed, or a flush or a commit of it has failed
   * @throws FST_SCOPED_DB_COMMIT_UNKNOWN, FST_SCOPED_DB_PARTLY_COMMITTED if a database may have carried out its COMMIT, or one of several has
   * @throws what the flush or a database says; everything since the last commit is then rolled back, and only {@link rollback} is left
   */
  async commit (): Promise<void> {
    await this.#scope().commit()
  }

  /**
   * Rolls back the current scope now, in all its databases, and forgets every entity; the next statement begins a new transaction.
   * @throws FST_SCOPED_DB_NO_SCOPE outside any scope
   * @throws FST_SCOPED_DB_SCOPE_CLOSED once the scope's outcome is there
   */
  async rollback (): Promise<void> {
    await this.#scope().rollback()
  }

  /**
   * Dooms the current scope: from now on it can only roll back, whatever the answer.
   * @throws FST_SCOPED_DB_NO_SCOPE outside any scope
   */
  setRollbackOnly (): void {
    this.#scope().setRollbackOnly()
  }

  /**
   * Drops the current session of this database, rolling back what is open. The next use makes a new one.
   * @throws FST_SCOPED_DB_NO_SCOPE outside any scope
   */
  async remove (): Promise<void> {
    await this.#scope().remove(this)
  }

  /**
   * Runs `fn` in a scope of its own, for jobs, queue consumers, scripts and WebSocket messages. When it resolves, its
   * `commitOnTeardown` decides; when it throws, it is rolled back and the error rethrown. Inside a request it is
   * an independent unit of work.
   * @returns what `fn` gives, once it is committed
   * @throws FST_SCOPED_DB_INVALID_OPTION, FST_SCOPED_DB_UNKNOWN_OPTION before `fn` is run
   * @throws FST_SCOPED_DB_SCOPE_CLOSED if the application is closed, or was closed meanwhile
   * @throws FST_SCOPED_DB_RETRIES_EXHAUSTED after the last of several attempts
   * @throws what `fn` throws, or what stops the commit, as in {@link commit}
   *
   * @example
   * await db.run(async session => {
   *   session.create(Job, { done: true })
   * }, { commitOnTeardown: true })
   */
  async run<T> (fn: (session: Session) => T | Promise<T>, options: RunOptions = {}): Promise<T> {
    assertFunction(fn, 'db.run()')
    return await this.host.run(scope => fn(scope.session(this) as Session), options)
  }

  /**
   * The same as an object. Nothing is committed unless `commit()` is called: an object cannot know how its block ended.
   * Its scope does not become the current one.
   * @throws FST_SCOPED_DB_INVALID_OPTION, FST_SCOPED_DB_UNKNOWN_OPTION
   *
   * @example
   * await using scope = db.open()
   * scope.session.create(Job, { done: true })
   * await scope.commit()
   */
  open (options: OpenOptions = {}): OpenScope<Session> {
    return openScope(this.host.open(options), this) as OpenScope<Session>
  }

  /**
   * Has `work` done once, after the current scope is committed: outside its transaction, without delaying the reply. Registered inside
   * `em.transactional()`, it is dropped when that rolls back to its savepoint; when the scope rolls back, it is dropped too. What it
   * throws goes to the log. Without `commitOnTeardown` it is done after the next commit by hand. As Django's `on_commit()`.
   * @throws FST_SCOPED_DB_INVALID_OPTION for what is no function
   * @throws FST_SCOPED_DB_NO_SCOPE outside any scope
   * @throws FST_SCOPED_DB_SCOPE_CLOSED once the scope's outcome is there
   *
   * @example
   * db.afterCommit(async () => { await sendWelcome(user.email) })
   */
  afterCommit (work: AfterWork): void {
    assertFunction(work, 'db.afterCommit()')
    this.#scope().after('commit', this, work)
  }

  /** The same after a rollback: what is outside the database can be undone here. Throws what {@link afterCommit} does. */
  afterRollback (work: AfterWork): void {
    assertFunction(work, 'db.afterRollback()')
    this.#scope().after('rollback', this, work)
  }

  /**
   * Tells `listener` of every scope of the application that has, or has had, a session of this database, opened from now on.
   * @returns a function that ends it
   * @throws FST_SCOPED_DB_INVALID_OPTION for a signal that does not exist, or a listener that is no function
   *
   * @example
   * db.on('committed', ({ changes }) => { for (const user of changes.update) cache.delete(user) })
   */
  on<Name extends keyof Signals> (signal: Name, listener: Listener<Name>): () => void {
    return this.listeners.on(signal, listener)
  }

  /** Whether the application is closed, or `closeTimeout` was over while it was closing: no new session is made then. */
  get isClosed (): boolean {
    return this.host.isClosed
  }

  /** @internal The session of a scope; once that is closed, what rejects and throws in its place. */
  sessionIn (scope: Scope): Session {
    try {
      return scope.session(this) as Session
    } catch (error) {
      if (!(error instanceof ScopeClosedError)) throw error
      return sessionProxy(() => this.orm, () => { throw error }) as Session
    }
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
