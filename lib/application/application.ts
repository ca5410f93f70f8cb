import type { MikroORM } from '@mikro-orm/core'
import type { AfterWork } from '../events/callbacks.ts'
import { InFlight, Shutdown } from './shutdown.ts'
import type { Database, DatabaseHost } from './database.ts'
import { UnknownDatabaseError } from '../errors/errors.ts'
import type { Log, ScopeInfo, ScopeKind } from '../types.ts'
import type { DatabaseSettings, OpenOptions, RunOptions } from '../options/options.ts'
import { currentScope } from '../scope/registry.ts'
import { Retry } from '../scope/retry.ts'
import { Scope } from '../scope/scope.ts'
import type { InFlightWork, ScopeHost } from '../scope/contracts.ts'
import { runSettings, type RouteSettings } from '../options/route-options.ts'
import { assertCausalReads } from '../session/check-connection.ts'
import { run } from './run.ts'
import { forkOptions, transactionSettings } from './session-settings.ts'

/** What is registered in one Fastify application: its databases, and the scopes that they share. */
export class Application implements ScopeHost, DatabaseHost {
  readonly #log: Log
  readonly #databases = new Map<string, Database>()
  readonly #inFlight = new InFlight()
  readonly #routes: RouteSettings[] = []
  #shutdown: Shutdown | undefined
  #retries = 0

  constructor (log: Log) {
    this.#log = log
  }

  get all (): Database[] {
    return [...this.#databases.values()]
  }

  /** What they were registered with. */
  get settings (): DatabaseSettings[] {
    return this.all.map(({ settings }) => settings)
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

  /** Remembers what a route asks of databases, until the application is ready. */
  addRoute (settings: RouteSettings): void {
    this.#routes.push(settings)
  }

  /**
   * Finds out whether the servers can do what their databases, and routes, ask of them.
   * @throws InvalidOptionError when one cannot
   * @throws CannotConnectError when one cannot be asked
   */
  async start (): Promise<void> {
    const routes = this.#routes.splice(0)
    for (const { orm, pool, replicas, settings } of this.all) {
      const causal = [settings, ...routes.map(route => route.of(settings))].filter(({ causalReads }) => causalReads)
      if (causal.length > 0) await assertCausalReads(orm, settings.name, pool, causal.some(({ readOnly }) => readOnly) ? replicas?.pool : undefined)
    }
  }

  get openScopes (): number {
    return this.#inFlight.countScopes()
  }

  isOpen (scope: ScopeInfo): boolean {
    return this.#inFlight.has(scope)
  }

  /** How often something was done again. */
  get retries (): number {
    return this.#retries
  }

  /** Whether the application is closed, or `closeTimeout` was over while it was closing. */
  get isClosed (): boolean {
    return this.#shutdown?.isOver === true
  }

  /**
   * Runs `work` in a scope of its own.
   * @throws InvalidOptionError, UnknownOptionError, what `work` throws, or what stops the commit
   */
  async run<T> (work: (scope: Scope) => T | Promise<T>, options: RunOptions): Promise<T> {
    const settings = runSettings(this.settings, 'db.run', options)
    return await run(attempt => this.#open('db.run', settings, attempt), work, settings.retry === undefined ? undefined : new Retry(settings.retry), this.#log)
  }

  /**
   * Opens a scope that whoever asks for it is to close.
   * @throws InvalidOptionError, UnknownOptionError
   */
  open (options: OpenOptions): Scope {
    return this.#open('db.open', runSettings(this.settings, 'db.open', options))
  }

  opened (scope: InFlightWork): void {
    this.#inFlight.add(scope)
  }

  closed (scope: InFlightWork): void {
    this.#inFlight.delete(scope)
  }

  async pause (milliseconds: number): Promise<void> {
    this.#retries++
    await this.#inFlight.pause(milliseconds)
  }

  after (works: readonly AfterWork[], log: Log, since?: Promise<unknown>): void {
    this.#inFlight.start(works, log, since)
  }

  /** The application begins to close: from now on what is in flight has a time limit, the longest `closeTimeout` of those that were given. */
  startShutdown (): Shutdown {
    this.#shutdown ??= new Shutdown(this.#inFlight, Math.max(...this.settings.map(({ closeTimeout }) => closeTimeout)), this.#log,
      this.all.flatMap(({ pool, replicas }) => replicas === undefined ? pool : [pool, replicas.pool]))
    return this.#shutdown
  }

  /** Waits until nothing is in flight, or for `closeTimeout`, and lets no scope have a session from then on. */
  async close (): Promise<void> {
    await this.startShutdown().close()
  }

  #open (kind: ScopeKind, settings: RouteSettings, attempt?: number): Scope {
    const scope = new Scope(this, {
      kind,
      log: this.#log,
      transactionSettings: ({ name }) => transactionSettings(settings.of(this.use(name).settings), this.use(name)),
      settingsOf: ({ name }) => settings.of(this.use(name).settings),
      forkOptions: ({ name }) => forkOptions(settings.of(this.use(name).settings), undefined)
    }, currentScope(), attempt)
    this.opened(scope)
    return scope
  }
}
