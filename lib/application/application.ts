import type { MikroORM } from '@mikro-orm/core'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AfterWork } from '../events/callbacks.ts'
import { AfterWorks } from './after-works.ts'
import { Closing } from './shutdown.ts'
import type { Database, DatabaseHost } from './database.ts'
import { UnknownDatabaseError } from '../errors/errors.ts'
import type { Log, ScopeKind } from '../types.ts'
import { OpenScopes } from './open-scopes.ts'
import type { RunOptions } from '../options/options.ts'
import { currentScope } from '../scope/registry.ts'
import { Scope } from '../scope/scope.ts'
import type { HostedScope, ScopeHost } from '../scope/contracts.ts'
import { runRules, type ScopeRules } from '../options/route-options.ts'
import { forkOptions, transactionRules } from './session-settings.ts'

/** The databases of one application, which share its scopes. */
export class AppDatabases implements ScopeHost, DatabaseHost {
  readonly #log: Log
  readonly #databases = new Map<string, Database>()
  readonly #scopes = new OpenScopes()
  readonly #afterWorks = new AfterWorks()
  #closing: Closing | undefined
  #isClosed = false

  constructor (log: Log) {
    this.#log = log
  }

  get all (): Database[] {
    return [...this.#databases.values()]
  }

  /** What `db`, `fastify.db` and `request.db` are about: the one named `'default'`, or else the first. */
  get default (): Database {
    return (this.#databases.get('default') ?? this.all[0]) as Database
  }

  /**
   * The database that is registered under `name`.
   * @throws UnknownDatabaseError
   */
  use (name: string): Database {
    const database = this.#databases.get(name)
    if (database === undefined) throw new UnknownDatabaseError(name, [...this.#databases.keys()].join(', '))
    return database
  }

  /** The database whose MikroORM this is, if it is one of these. */
  of (orm: MikroORM): Database | undefined {
    return this.all.find(database => database.orm === orm)
  }

  has (name: string): boolean {
    return this.#databases.has(name)
  }

  add (database: Database): void {
    this.#databases.set(database.name, database)
  }

  get openScopes (): number {
    return this.#scopes.size
  }

  /** Whether the application is closed, or `closeTimeout` was over while it was closing. */
  get isClosed (): boolean {
    return this.#isClosed
  }

  get log (): Log {
    return this.#log
  }

  /** The rules of scopes that are no request's. */
  rulesOf (kind: ScopeKind, options: RunOptions): ScopeRules {
    return runRules(this.all, kind, options)
  }

  /** Opens a scope that is no request's. */
  openScope (kind: ScopeKind, rules: ScopeRules): Scope {
    const scope = new Scope(this, {
      kind,
      log: this.#log,
      transactionRules: ({ name }) => transactionRules(rules.of(this.use(name)), this.use(name).pool, false),
      forkOptions: ({ name }) => forkOptions(rules.of(this.use(name)), undefined)
    }, currentScope())
    this.opened(scope)
    return scope
  }

  opened (scope: HostedScope): void {
    this.#scopes.add(scope)
  }

  closed (scope: HostedScope): void {
    this.#scopes.delete(scope)
  }

  async pause (milliseconds: number): Promise<void> {
    const stop = new AbortController()
    const scope = { kind: 'db.run' as const, destroy: async () => stop.abort() }
    this.opened(scope)
    await sleep(milliseconds, undefined, { signal: stop.signal }).catch(() => undefined)
    this.closed(scope)
  }

  after (works: readonly AfterWork[], log: Log, since?: Promise<unknown>): void {
    this.#afterWorks.start(works, log, since)
  }

  /** The application begins to close: from now on its scopes have a time limit, the longest of those that were given. */
  startClosing (): Closing {
    this.#closing ??= new Closing(this.#scopes, this.#afterWorks, {
      closeTimeout: Math.max(...this.all.map(({ closeTimeout }) => closeTimeout)),
      log: this.#log,
      onOver: () => { this.#isClosed = true },
      discard: async () => { await Promise.all(this.all.map(({ pool }) => pool.destroy())) }
    })
    return this.#closing
  }

  /** Waits until no scope is left, or for `closeTimeout`, and lets none have a session from then on. */
  async close (): Promise<void> {
    await this.startClosing().wait()
    this.#isClosed = true
  }
}
