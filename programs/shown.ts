import type { Entity, Item, Part } from './entities.ts'
import type { Name } from './program.ts'
import type { NamedRow, Row, Shown } from './rows.ts'

/** What an entity in memory says, its relations by id. */
export function shown (entity: Entity): Row {
  return { ...show(entity, ({ id }) => id), id: entity.id }
}

/** The same by name, for what has no id yet. */
export function shownByName (entity: Entity): NamedRow {
  return show(entity, ({ name }) => name as Name)
}

/** A collection that is not loaded says nothing. */
function show <Reference> (entity: Entity, refer: (entity: Entity) => Reference): Shown<Reference> {
  // What is not inserted yet has no version; MikroORM says undefined, SQLAlchemy null.
  const { version = null, title } = entity
  const row = { name: entity.name as Name, version, title }
  // MikroORM says undefined of a relation to what was deleted.
  if (isPart(entity)) return { ...row, item: entity.item ? refer(entity.item) : null }
  if (!isItem(entity)) return row
  const { code, place, data, parts, labels } = entity
  return {
    ...row,
    code,
    // Whatever the type says: what a session has lost is a difference, too.
    place: { street: place?.street, city: place?.city },
    data: data && { ...data },
    ...(parts?.isInitialized() && { parts: parts.getItems().map(refer).sort() }),
    ...(labels?.isInitialized() && { labels: labels.getItems().map(refer).sort() })
  }
}

export function isItem (entity: Entity | undefined): entity is Item {
  return entity !== undefined && 'place' in entity
}

export function isPart (entity: Entity): entity is Part {
  return 'item' in entity
}
