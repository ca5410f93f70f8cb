export type Value = string | null
export type Row = Readonly<Record<string, Value>>

export interface Change {
  readonly table: string
  readonly id: string
  readonly row: Row
}

interface Stored {
  readonly row: Row
  /** Which commit has written it. */
  readonly version: number
}

/** The first id that is generated, less one. */
const GIVEN = 1_000

/** What is committed in one database, the same on all nodes. */
export class Store {
  readonly #tables = new Map<string, Map<string, Stored>>()
  readonly #ids = new Map<string, number>()
  #version = 0

  nextId (table: string): string {
    const id = (this.#ids.get(table) ?? GIVEN) + 1
    this.#ids.set(table, id)
    return String(id)
  }

  get (table: string, id: string): Row | undefined {
    return this.#tables.get(table)?.get(id)?.row
  }

  version (table: string, id: string): number {
    return this.#tables.get(table)?.get(id)?.version ?? 0
  }

  all (table: string): Row[] {
    return [...this.#tables.get(table)?.values() ?? []].map(({ row }) => row)
  }

  /** Writes all at once. */
  commit (changes: readonly Change[]): void {
    this.#version++
    for (const { table, id, row } of changes) {
      const rows = this.#tables.get(table) ?? new Map<string, Stored>()
      this.#tables.set(table, rows.set(id, { row, version: this.#version }))
    }
  }
}
