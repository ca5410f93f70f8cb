import type { EntityMetadata, EntityProperty, OrderDefinition, Primary, Scalar } from '@mikro-orm/core'
import { scalarValue } from './scalar-value.ts'

/** A primary key, or what stands for it in a URL: `'12'` for 12. The parts of a composite key are in an array, or in an object by their names. */
export type LookUpId<Entity> = Readable<Primary<Entity>>

type Readable<Key> = Key extends Scalar ? Key | string : Key extends object ? { readonly [Part in keyof Key]: Readable<Key[Part]> } : Key

type Parts = Record<string, unknown>

/** The condition that a row has this primary key, or `undefined` if no row can have it. */
export function primaryKeyIs (meta: EntityMetadata, id: unknown): Parts | undefined {
  const props = meta.getPrimaryProps()
  const parts = props.length === 1 ? [id] : partsOf(props, id)
  const values = props.map((prop, index) => propertyValue(prop, parts[index]))
  return values.includes(undefined) ? undefined : Object.fromEntries(props.map(({ name }, index) => [name, values[index]]))
}

/** The same as {@link scalarValue}, of a relation too: that has the primary key of its target. */
export function propertyValue (prop: EntityProperty, value: unknown): unknown {
  if (prop.targetMeta === undefined) return scalarValue(prop, value)
  const key = primaryKeyIs(prop.targetMeta, value)
  const [part, ...others] = Object.values(key ?? {})
  return others.length > 0 ? key : part
}

/** An order that no two rows share, since a list is not cut in the same places twice without: the one given, then the primary key. */
export function completeOrder<Entity> (meta: EntityMetadata<Entity>, orderBy: OrderDefinition<Entity> = []): OrderDefinition<Entity> {
  const given = [orderBy].flat() as object[]
  const missing = meta.primaryKeys.filter(key => !given.some(order => key in order))
  return [...given, ...missing.map(key => ({ [key]: 'asc' }))] as OrderDefinition<Entity>
}

function partsOf (props: EntityProperty[], id: unknown): unknown[] {
  if (Array.isArray(id)) return id.length === props.length ? id : []
  return typeof id === 'object' && id !== null ? props.map(({ name }) => (id as Parts)[name]) : []
}
