import { helper, type AnyEntity, type EntityData, type EntityManager } from '@mikro-orm/core'

/**
 * Has the entity of a session that has the key of `entity` show what the database has.
 * @param data that, in the form in which MikroORM remembers it
 */
export function refresh (session: EntityManager, entity: AnyEntity, data: EntityData<AnyEntity> | undefined): void {
  const { class: entityClass, properties } = helper(entity).__meta
  const platform = session.getPlatform()
  const values = Object.entries({ ...data }).map(([key, value]): [string, unknown] => {
    const type = value === null ? undefined : properties[key]?.customType
    return [key, type === undefined ? value : type.convertToJSValue(value, platform, { key, mode: 'hydration', force: true })]
  })
  const options = { refresh: true, recomputeSnapshot: true, cascade: false, disableContextResolution: true }
  session.merge(entityClass, Object.fromEntries(values) as EntityData<AnyEntity>, options)
}
