import type { OptionPath } from './validate.ts'
import { InvalidOptionError } from '../errors/errors.ts'
import { readOpenOptions, readRouteOptions, readRunOptions, type RetryOptions, type RouteOptions, type Rules } from './options.ts'
import type { ScopeKind } from '../types.ts'

/** A database, as far as its rules are concerned. */
export interface RuledDatabase {
  readonly name: string
  /** What it was registered with. */
  readonly rules: Rules
}

/** The rules of a scope: what each database was registered with, overridden by what the route or the `db.run()` says for itself. */
export class ScopeRules {
  /** How often the work is done when it fails with a transient error; undefined for once. */
  readonly retry: number | RetryOptions | undefined
  readonly #own: Omit<RouteOptions, 'retry'>
  readonly #merged = new Map<RuledDatabase, Rules>()

  constructor ({ retry, ...own }: RouteOptions = {}) {
    this.retry = retry
    this.#own = own
  }

  of (database: RuledDatabase): Rules {
    let rules = this.#merged.get(database)
    if (rules === undefined) {
      const { use, ...all } = this.#own
      rules = { ...database.rules, ...all, ...use?.[database.name] } as Rules
      this.#merged.set(database, rules)
    }
    return rules
  }
}

/**
 * Checks a route's `config.db`.
 * @param databases those of the application
 * @returns `false` for a route without a scope
 */
export function routeRules (databases: readonly RuledDatabase[], options: unknown, route: string): ScopeRules | false {
  if (options === undefined) return new ScopeRules()
  if (options === false) return false
  const whole = `config.db of ${route}`
  const path = { whole, or: 'false', suffix: ` in ${whole}` }
  return checked(databases, readRouteOptions(options, namesOf(databases), path), path)
}

/** Checks the options of `db.run()` or `db.open()`. */
export function runRules (databases: readonly RuledDatabase[], kind: ScopeKind, options: unknown): ScopeRules {
  const read = kind === 'db.run' ? readRunOptions : readOpenOptions
  const path = { whole: `${kind}()`, suffix: ` of ${kind}()` }
  return checked(databases, read(options, namesOf(databases), path), path)
}

function namesOf (databases: readonly RuledDatabase[]): string[] {
  return databases.map(({ name }) => name)
}

function checked (databases: readonly RuledDatabase[], own: RouteOptions, path: OptionPath): ScopeRules {
  const rules = new ScopeRules(own)
  refuseIdle(own, '', databases, rules, path)
  for (const database of databases) refuseIdle(own.use?.[database.name] ?? {}, `use.${database.name}.`, [database], rules, path)
  return rules
}

/** Plugin options may be of use to a route that has the transaction; one's own that cannot be of use must not look as if they were. */
function refuseIdle ({ isolationLevel, begin = 'auto', retry }: RouteOptions, prefix: string, databases: readonly RuledDatabase[], rules: ScopeRules, { suffix = '' }: OptionPath): void {
  if (databases.some(database => rules.of(database).commitOnTeardown !== false)) return
  const [idle] = Object.entries({ isolationLevel, begin: begin === 'auto' ? undefined : begin, retry }).find(([, value]) => value !== undefined) ?? []
  if (idle !== undefined) throw new InvalidOptionError(`the option "${prefix}${idle}"${suffix}`, 'a commitOnTeardown that is not false beside it', 'false')
}
