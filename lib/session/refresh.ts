import { helper, type AnyEntity, type EntityData, type EntityManager } from '@mikro-orm/core'

/**
 * Has the entity of a session that has the key of `entity` show what the database has.
 * @param data that, in the form in which MikroORM remembers it
 */
export function refresh (session: EntityManager, entity: AnyEntity, data: EntityData<AnyEntity> | undefined): void {
  session.merge(helper(entity).__meta.class, { ...data }, { refresh: true, convertCustomTypes: true, cascade: false, disableContextResolution: true })
}
