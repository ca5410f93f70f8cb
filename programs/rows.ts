import { kindOf, type Kind, type Name } from './program.ts'

/** What there is of an entity, wherever. Where nothing is known of a property, it is not there. */
export interface Shown<Reference> {
  readonly name: Name
  readonly version: number | null
  readonly title: string
  readonly code?: string | null
  readonly place?: { readonly street: string, readonly city: string }
  readonly data?: unknown
  readonly item?: Reference | null
  readonly parts?: readonly Reference[]
  readonly labels?: readonly Reference[]
}

/** What the database has of an entity, or a session shows of it. */
export interface Row extends Shown<number> {
  readonly id: number
}

/** The same with names in the place of ids, which depend on what was rolled back before, and on the database. */
export type NamedRow = Shown<Name>

/** By name. A name that two rows have is `twice`. */
export interface Rows {
  readonly byName: ReadonlyMap<Name, Row>
  readonly twice: readonly Name[]
}

/** What the tables have, as a driver gives it. */
export type Tables = readonly [items: readonly ItemRow[], parts: readonly PartRow[], labels: readonly LabelRow[], links: readonly LinkRow[]]

interface LabelRow { readonly id: number, readonly version: number, readonly name: Name, readonly title: string }
interface PartRow extends LabelRow { readonly item_id: number | null }
interface ItemRow extends LabelRow { readonly code: string | null, readonly place_street: string, readonly place_city: string, readonly data: unknown }
interface LinkRow { readonly item_id: number, readonly label_id: number }

export function rowsOf ([items, parts, labels, links]: Tables): Rows {
  const rows: Row[] = [
    ...items.map(({ id, version, name, title, code, place_street: street, place_city: city, data }) => ({
      name,
      id,
      version,
      title,
      code,
      place: { street, city },
      // Some drivers have parsed it already.
      data: typeof data === 'string' ? JSON.parse(data) as unknown : data,
      parts: parts.filter(part => part.item_id === id).map(part => part.id).sort(),
      labels: links.filter(link => link.item_id === id).map(link => link.label_id).sort()
    })),
    ...parts.map(({ id, version, name, title, item_id: item }) => ({ name, id, version, title, item })),
    ...labels.map(({ id, version, name, title }) => ({ name, id, version, title }))
  ]
  const byName = new Map(rows.map(row => [row.name, row]))
  return { byName, twice: rows.filter(row => byName.get(row.name) !== row).map(({ name }) => name) }
}

export function named ({ byName }: Rows): NamedRow[] {
  const names = new Map(Array.from(byName.values(), ({ name, id }) => [`${kindOf(name)} ${id}`, name]))
  const refer = (kind: Kind) => (id: number) => names.get(`${kind} ${id}`) as Name
  return Array.from(byName.values(), ({ id: _, item, parts, labels, ...row }) => ({
    ...row,
    ...(item !== undefined && { item: item === null ? null : refer('item')(item) }),
    ...(parts !== undefined && { parts: parts.map(refer('part')).sort() }),
    ...(labels !== undefined && { labels: labels.map(refer('label')).sort() })
  }))
}
