import { IdentityMap, type AnyEntity, type ChangeSet } from '@mikro-orm/core'

/** Rows that were deleted in a transaction which is not committed, by what stands for the entities of its session: elsewhere they are still there. */
const deleted = new WeakMap<object, IdentityMap>()

/** A session has written. */
export function noteDeleted (instances: object, changeSets: readonly ChangeSet<AnyEntity>[]): void {
  for (const { entity, type } of changeSets) {
    if (type === 'delete' || type === 'delete_early') rowsOf(instances).store(entity)
    else if (type === 'create') deleted.get(instances)?.delete(entity)
  }
}

/** Whether a session has deleted the row of an entity, or of another instance of it, and not committed that. */
export function isDeleted (instances: object, entity: AnyEntity): boolean {
  return deleted.get(instances)?.getByEntity(entity) !== undefined
}

/** Those of a session, to be put back when what has been done since is undone. */
export function deletedRows (instances: object): AnyEntity[] {
  return deleted.get(instances)?.values() ?? []
}

/** From now on it is these that a session has deleted. */
export function setDeleted (instances: object, rows: readonly AnyEntity[]): void {
  deleted.delete(instances)
  for (const row of rows) rowsOf(instances).store(row)
}

function rowsOf (instances: object): IdentityMap {
  const rows = deleted.get(instances) ?? new IdentityMap()
  deleted.set(instances, rows)
  return rows
}
