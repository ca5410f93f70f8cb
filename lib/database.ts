import { EntityManager } from '@mikro-orm/core'
import type { MikroORM } from '@mikro-orm/core'
import { Closing } from './closing.ts'
import { NoScopeError } from './errors.ts'
import { OpenScopes } from './open-scopes.ts'
import { forkOptions, runRules, transactionRules, type RunOptions, type Settings } from './options.ts'
import { outsideTransactions } from './propagation.ts'
import { currentScope, runInScope } from './registry.ts'
import { Scope, type Log, type ScopeHost, type ScopeKind } from './scope.ts'
import { standIn } from './stand-in.ts'
import { Loans } from './transaction/loans.ts'
import type { PoolRules } from './transaction/rules.ts'

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

/** The type of `request.db` and `db.session`: what `Databases` says, or else MikroORM's base class. */
export type DatabaseSession = Databases extends { default: infer Session extends EntityManager } ? Session : EntityManager

/** A unit of work outside any request, from `db.open()`. Rolled back at disposal unless it was committed. */
export interface OpenScope extends AsyncDisposable {
  readonly session: DatabaseSession
  /** Flushes and commits; the next statement begins a new transaction. */
  commit (): Promise<void>
  /** Rolls back and forgets every entity; the next statement begins a new transaction. */
  rollback (): Promise<void>
}

/** What `fastify.db` and the global `db` are: one registered database. */
export class Database implements ScopeHost {
  readonly name: string
  readonly orm: MikroORM
  /** @internal How its scopes take connections. */
  readonly pool: PoolRules
  readonly #settings: Settings
  readonly #log: Log
  readonly #scopes = new OpenScopes()
  readonly #session: DatabaseSession
  #closing: Closing | undefined
  #isClosed = false

  /** @internal Made by the plugin. */
  constructor (orm: MikroORM, settings: Settings, log: Log) {
    this.name = settings.name
    this.orm = orm
    this.pool = { acquireTimeout: settings.acquireTimeout, loans: new Loans() }
    this.#settings = settings
    this.#log = log
    this.#session = standIn(EntityManager.prototype, () => this.#scope().session) as DatabaseSession
  }

  /**
   * A stand-in for the current scope's session, found anew on every use, so that it can be kept at module level.
   * Using it throws `FST_SCOPED_DB_NO_SCOPE` outside any scope.
   *
   * @example
   * const session = db.session
   * export const findUser = (id: number) => session.findOneOrFail(User, id)
   */
  get session (): DatabaseSession {
    return this.#session
  }

  /** How many scopes have something to clean up: requests with a session, and every `db.run()` and `db.open()`. */
  get openScopes (): number {
    return this.#scopes.size
  }

  /** Whether the current scope has a session yet. Never makes one. */
  hasSession (): boolean {
    return this.#scope().hasSession
  }

  /** Flushes and commits now; the next statement begins a new transaction. See {@link Scope.commit}. */
  async commit (): Promise<void> {
    await this.#scope().commit()
  }

  /** Rolls back now and forgets every entity; the next statement begins a new transaction. */
  async rollback (): Promise<void> {
    await this.#scope().rollback()
  }

  /** Dooms the current scope: from now on it can only roll back. */
  setRollbackOnly (): void {
    this.#scope().setRollbackOnly()
  }

  /** Drops the current session, rolling back what is open. The next use makes a new one. */
  async remove (): Promise<void> {
    await this.#scope().remove()
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
  async run<T> (fn: (session: DatabaseSession) => T | Promise<T>, options: RunOptions = {}): Promise<T> {
    const scope = this.#openScope('db.run', options)
    try {
      const result = await inScope(scope, () => fn(scope.session as DatabaseSession))
      await scope.complete(scope.isRollbackOnly ? 'rollback' : 'commit')
      return result
    } finally {
      await scope.dispose()
    }
  }

  /**
   * The same as an object. Nothing is committed unless `commit()` is called: an object cannot know how its block ended.
   *
   * @example
   * await using scope = db.open()
   * scope.session.create(Job, { done: true })
   * await scope.commit()
   */
  open (options: RunOptions = {}): OpenScope {
    const scope = this.#openScope('db.open', options)
    return {
      get session () {
        return scope.session as DatabaseSession
      },
      commit: () => scope.commit(),
      rollback: () => scope.rollback(),
      [Symbol.asyncDispose]: async () => await scope.dispose()
    }
  }

  /** Whether the application is closed, or `closeTimeout` was over while it was closing. */
  get isClosed (): boolean {
    return this.#isClosed
  }

  /** @internal The application begins to close: from now on its scopes have a time limit. */
  startClosing (): Closing {
    this.#closing ??= new Closing(this.#scopes, this.pool.loans, this.#settings.closeTimeout, this.#log, () => { this.#isClosed = true })
    return this.#closing
  }

  /** @internal Waits until no scope is left, or for `closeTimeout`, and lets none have a session from then on. */
  async close (): Promise<void> {
    await this.startClosing().wait()
    this.#isClosed = true
  }

  /** @internal */
  opened (scope: Scope): void {
    this.#scopes.add(scope)
  }

  /** @internal */
  closed (scope: Scope): void {
    this.#scopes.delete(scope)
  }

  #openScope (kind: ScopeKind, options: RunOptions): Scope {
    const rules = runRules(this.#settings.rules, options)
    const scope = new Scope(this, {
      kind,
      log: this.#log,
      transactionRules: () => transactionRules(rules, this.pool, false),
      forkOptions: () => forkOptions(rules, undefined)
    })
    this.opened(scope)
    return scope
  }

  /** The current scope, if it is of this database: one of another application is not ours to use. */
  #scope (): Scope {
    const scope = currentScope()
    if (scope?.host !== this) throw new NoScopeError()
    return scope
  }
}

/** Runs `fn` in `scope`, unseen by transactions that enclose it. */
export function inScope<T> (scope: Scope, fn: () => T): T {
  return runInScope(scope, () => outsideTransactions(fn))
}
