import type { EntityManager, MetadataStorage } from '@mikro-orm/core'

/** By the name of the table: its column whose values the database generates, or null; undefined where entities differ about it. */
type GeneratedColumns = ReadonlyMap<string, string | null | undefined>

const KNOWN = new WeakMap<MetadataStorage, GeneratedColumns>()

/** What entities say of the column of a table whose values the database generates. Undefined where they say nothing, or not the same. */
export function generatedColumn (em: EntityManager, table: string): string | null | undefined {
  const metadata = em.getMetadata()
  let columns = KNOWN.get(metadata)
  if (columns === undefined) KNOWN.set(metadata, columns = columnsOf(metadata))
  return columns.get(table)
}

function columnsOf (metadata: MetadataStorage): GeneratedColumns {
  const columns = new Map<string, string | null | undefined>()
  for (const { tableName, props } of metadata) {
    const column = props.find(({ autoincrement }) => autoincrement === true)?.fieldNames[0] ?? null
    columns.set(tableName, columns.has(tableName) && columns.get(tableName) !== column ? undefined : column)
  }
  return columns
}
