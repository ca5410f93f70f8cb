import type { EntityManager, MikroORM } from '@mikro-orm/core'
import type { Application } from './application.ts'
import { Database } from './database.ts'
import type { DatabaseSession } from './session-types.ts'
import { AmbiguousError, NotRegisteredError } from '../errors/errors.ts'
import { currentInfo, currentScope } from '../scope/registry.ts'
import { sessionProxy } from '../session/session-proxy.ts'
import { found, localProxy } from '../local-proxy.ts'

/** Those in this process that have a database. */
const applications = new Set<Application>()

export function addApplication (application: Application): void {
  applications.add(application)
}

export function removeApplication (application: Application): void {
  applications.delete(application)
}

/** The current scope's, or else the only one. */
function resolveApplication (): Application {
  const scope = currentScope()
  const all = [...applications]
  const [application, ...others] = scope === undefined ? all : all.filter(application => application === scope.host)
  if (application === undefined) throw new NotRegisteredError()
  if (others.length > 0) throw new AmbiguousError(all.length)
  return application
}

/** The session of an ORM in the scope that is current, if there is one. */
export function currentSession (orm: MikroORM): EntityManager | undefined {
  const scope = currentScope()
  const database = scope?.host.of(orm)
  return database === undefined ? undefined : scope?.session(database)
}

/** What `db.use(name)` has given, by names that are registered: any other may come from a client, and be one of many. */
const named = new Map<string, Database>()

function use (name: string): Database {
  const database = named.get(name) ?? databaseProxy(() => resolveApplication().use(name))
  if ([...applications].some(application => application.has(name))) named.set(name, database)
  return database
}

function databaseProxy (resolve: () => Database): Database {
  const session = sessionProxy(() => found(resolve)?.orm, () => resolve().session) as DatabaseSession
  return localProxy<Database>(() => Database.prototype, resolve, {
    session,
    use: use as Database['use'],
    get current () { return currentInfo() }
  })
}

/**
 * The registered {@link Database} as a global: inside a scope it is that scope's, so that several applications in one
 * process never mix; outside, it is that of the only one. It can be kept at module level, and so can `db.session` and
 * `db.use(name)`.
 *
 * @throws FST_SCOPED_DB_NOT_REGISTERED, FST_SCOPED_DB_AMBIGUOUS when a member is used and no application, or more than one, could be meant
 */
export const db: Database = databaseProxy(() => resolveApplication().default)
