import type { OptionPath } from './validate.ts'
import { InvalidOptionError } from '../errors/errors.ts'
import {
  readOpenOptions, readRouteOptions, readRunOptions, type DatabaseSettings, type RetryOptions, type RouteOptions, type ScopeSettings
} from './options.ts'
import type { ScopeKind } from '../types.ts'

/** What a route or a `db.run()` says for itself, with every default in its place: that is what each database was registered with. */
export class RouteSettings {
  /** How often the work is done when it fails with a transient error; undefined for once. */
  readonly retry: number | RetryOptions | undefined
  readonly #own: Omit<RouteOptions, 'retry'>
  readonly #merged = new Map<DatabaseSettings, ScopeSettings>()

  constructor ({ retry, ...own }: RouteOptions = {}) {
    this.retry = retry
    this.#own = own
  }

  /** Those of one database. */
  of (database: DatabaseSettings): ScopeSettings {
    let settings = this.#merged.get(database)
    if (settings === undefined) {
      const { use, ...all } = this.#own
      settings = { ...database, ...all, ...use?.[database.name] } as ScopeSettings
      this.#merged.set(database, settings)
    }
    return settings
  }
}

/**
 * Checks a route's `config.db`.
 * @param databases what those of the application were registered with
 * @returns `false` for a route without a scope
 */
export function routeSettings (databases: readonly DatabaseSettings[], options: unknown, route: string): RouteSettings | false {
  if (options === undefined) return new RouteSettings()
  if (options === false) return false
  const whole = `config.db of ${route}`
  const path = { whole, or: 'false', suffix: ` in ${whole}` }
  return checked(databases, readRouteOptions(options, namesOf(databases), path), path)
}

/** Checks the options of `db.run()` or `db.open()`. */
export function runSettings (databases: readonly DatabaseSettings[], kind: ScopeKind, options: unknown): RouteSettings {
  const read = kind === 'db.run' ? readRunOptions : readOpenOptions
  const path = { whole: `${kind}()`, suffix: ` of ${kind}()` }
  return checked(databases, read(options, namesOf(databases), path), path)
}

function namesOf (databases: readonly DatabaseSettings[]): string[] {
  return databases.map(({ name }) => name)
}

function checked (databases: readonly DatabaseSettings[], own: RouteOptions, path: OptionPath): RouteSettings {
  const settings = new RouteSettings(own)
  refuseIdle(own, '', databases, settings, path)
  for (const database of databases) refuseIdle(own.use?.[database.name] ?? {}, `use.${database.name}.`, [database], settings, path)
  return settings
}

/** Plugin options may be of use to a route that has the transaction; one's own that cannot be of use must not look as if they were. */
function refuseIdle ({ isolationLevel, begin = 'auto', causalReads, retry }: RouteOptions, prefix: string, databases: readonly DatabaseSettings[], settings: RouteSettings, { suffix = '' }: OptionPath): void {
  if (databases.some(database => settings.of(database).commitOnTeardown !== false)) return
  const [idle] = Object.entries({ isolationLevel, begin: begin === 'auto' ? undefined : begin, causalReads: causalReads === true ? true : undefined, retry }).find(([, value]) => value !== undefined) ?? []
  if (idle !== undefined) throw new InvalidOptionError(`the option "${prefix}${idle}"${suffix}`, 'a commitOnTeardown that is not false beside it', 'false')
}
