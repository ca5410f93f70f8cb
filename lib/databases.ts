import { EntityManager } from '@mikro-orm/core'
import type { Database, DatabaseSession } from './database.ts'
import { AmbiguousError, NotRegisteredError } from './errors.ts'
import { currentScope } from './registry.ts'
import { standIn } from './stand-in.ts'

/** Every database that is registered in this process, in however many applications. */
const databases = new Set<Database>()

export function addDatabase (database: Database): void {
  databases.add(database)
}

export function removeDatabase (database: Database): void {
  databases.delete(database)
}

/** The current scope's database, or else the only one. */
function resolveDatabase (): Database {
  const scope = currentScope()
  const all = [...databases]
  const [database, ...others] = scope === undefined ? all : all.filter(database => database === scope.host)
  if (database === undefined) throw new NotRegisteredError()
  if (others.length > 0) throw new AmbiguousError(all.length)
  return database
}

const session = standIn<object>(EntityManager.prototype, () => resolveDatabase().session) as DatabaseSession

/**
 * The registered {@link Database} as a global: inside a scope it is that scope's, so that several applications in one
 * process never mix; outside, it is the only one. It can be kept at module level, and so can `db.session`.
 *
 * @throws FST_SCOPED_DB_NOT_REGISTERED, FST_SCOPED_DB_AMBIGUOUS when a member is used and none, or more than one, could be meant
 */
export const db: Database = standIn<Database>({}, resolveDatabase, { session })
