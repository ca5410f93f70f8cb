import type { EntityMetadata, OrderDefinition } from '@mikro-orm/core'

/** An order that no two rows share, since a list is not cut in the same places twice without: the one given, then the primary key. */
export function completeOrder<Entity> (meta: EntityMetadata<Entity>, orderBy: OrderDefinition<Entity> = []): OrderDefinition<Entity> {
  const given = [orderBy].flat() as object[]
  const missing = meta.primaryKeys.filter(key => !given.some(order => key in order))
  return [...given, ...missing.map(key => ({ [key]: 'asc' }))] as OrderDefinition<Entity>
}
