import type { Entity } from './entities.ts'
import type { Name } from './program.ts'

/** `live`: in the session, so its row has to be there. `removed`: it has to be gone. `unknown`: nobody can tell, since others were at work. */
export type Status = 'live' | 'removed' | 'unknown'

/** What a program has done to a session, in its own words: what it has in its hands, and what has to become of it. */
export class UnitOfWork {
  readonly entities = new Map<Name, Entity>()
  /** What it has ever made, rather than found. */
  readonly created = new Map<Name, Entity>()
  /** What has ever been related to something else. */
  readonly related = new Set<Name>()
  /** The items whose collections it has loaded. */
  readonly loaded = new Set<Name>()
  /** How often the session was emptied. */
  epoch = 0
  readonly #statuses = new Map<Name, Status>()

  /** What is not as it was found. */
  get names (): Name[] {
    return Array.from(this.#statuses.keys())
  }

  get live (): Entity[] {
    return this.names.map(name => this.find(name)).filter(entity => entity !== undefined)
  }

  /** The entity, where it is in the session. */
  find (name: Name): Entity | undefined {
    return this.#statuses.get(name) === 'live' ? this.entities.get(name) : undefined
  }

  status (name: Name): Status | undefined {
    return this.#statuses.get(name)
  }

  set (name: Name, status: Status | undefined): void {
    if (status === undefined) this.#statuses.delete(name)
    else this.#statuses.set(name, status)
  }

  /** The session is emptied while `rollback` runs, unless that is refused; what others do meanwhile may be lost or not. */
  async empty (rollback: () => Promise<void>): Promise<void> {
    const before = { entities: new Map(this.entities), loaded: new Set(this.loaded), statuses: new Map(this.#statuses) }
    this.#clear()
    try {
      await rollback()
    } catch (error) {
      for (const [name, entity] of before.entities) if (!this.entities.has(name)) this.entities.set(name, entity)
      for (const [name, status] of before.statuses) if (!this.#statuses.has(name)) this.#statuses.set(name, status)
      for (const name of before.loaded) this.loaded.add(name)
      throw error
    }
    this.epoch++
    const { names } = this
    this.#clear()
    for (const name of names) this.#statuses.set(name, 'unknown')
  }

  #clear (): void {
    this.entities.clear()
    this.loaded.clear()
    this.#statuses.clear()
  }
}

/** A transaction of a unit of work, the request's own or a savepoint in it: knows what to take back. */
export class Transaction {
  readonly unit: UnitOfWork
  /** Whether a flush of it has failed, so that it can only be rolled back. */
  isBroken = false
  readonly #outer: Transaction | undefined
  readonly #epoch: number
  readonly #changes = new Map<Name, { readonly before: Status | undefined, readonly after: Status }>()
  readonly #loaded: Name[] = []

  constructor (unit: UnitOfWork, outer?: Transaction) {
    this.unit = unit
    this.#outer = outer
    this.#epoch = unit.epoch
  }

  set (name: Name, after: Status): void {
    this.#remember(name, this.unit.status(name), after)
    this.unit.set(name, after)
  }

  load (name: Name): void {
    this.unit.loaded.add(name)
    this.#loaded.push(name)
  }

  rollback (): void {
    if (this.unit.epoch !== this.#epoch) return
    for (const name of this.#loaded) this.unit.loaded.delete(name)
    for (const [name, { before, after }] of this.#changes) this.unit.set(name, this.unit.status(name) === after ? before : 'unknown')
  }

  release (): void {
    const outer = this.#outer
    if (outer === undefined) return
    for (const [name, { before, after }] of this.#changes) outer.#remember(name, before, after)
    outer.#loaded.push(...this.#loaded)
  }

  #remember (name: Name, before: Status | undefined, after: Status): void {
    this.#changes.set(name, { before: this.#changes.has(name) ? this.#changes.get(name)?.before : before, after })
  }
}
