import { DatabaseFailure, deadlock, interrupted } from './failure.ts'
import type { Locks } from './locks.ts'
import type { Change, Row, Store } from './store.ts'

export type Changes = ReadonlyMap<string, Change>

/** What a transaction has written, on top of what is committed. Each row that it writes, or reads for that, is locked on its node. */
export class Transaction {
  readonly #store: Store
  readonly #locks: Locks<Transaction>
  #changes = new Map<string, Change>()
  /** The version of each row when it was locked. */
  readonly #versions = new Map<string, { readonly table: string, readonly id: string, readonly version: number }>()
  #isOver = false
  readonly #savepoints: { readonly name: string, readonly changes: Changes }[] = []

  constructor (store: Store, locks: Locks<Transaction>) {
    this.#store = store
    this.#locks = locks
  }

  get hasWritten (): boolean {
    return this.#changes.size > 0
  }

  get (table: string, id: string): Row | undefined {
    return this.#changes.get(`${table}/${id}`)?.row ?? this.#store.get(table, id)
  }

  all (table: string): Row[] {
    const own = new Map([...this.#changes.values()].filter(change => change.table === table).map(({ id, row }) => [id, row]))
    return [...this.#store.all(table).filter(({ id }) => !own.has(String(id))), ...own.values()]
  }

  /** @throws DatabaseFailure when somebody else has it for too long, or for ever */
  async lock (table: string, id: string): Promise<void> {
    if (this.#isOver) throw interrupted()
    const key = `${table}/${id}`
    await this.#locks.acquire(key, this)
    if (!this.#versions.has(key)) this.#versions.set(key, { table, id, version: this.#store.version(table, id) })
  }

  put (table: string, id: string, row: Row): void {
    this.#changes.set(`${table}/${id}`, { table, id, row })
  }

  savepoint (name: string): void {
    this.#savepoints.push({ name, changes: this.changes() })
  }

  release (name: string): void {
    this.#savepoints.length = this.#indexOf(name)
  }

  rollbackTo (name: string): void {
    const index = this.#indexOf(name)
    this.restore(this.#savepoints[index]?.changes as Changes)
    this.#savepoints.length = index + 1
  }

  /** What is written now. */
  changes (): Changes {
    return new Map(this.#changes)
  }

  restore (changes: Changes): void {
    this.#changes = new Map(changes)
  }

  /** @throws DatabaseFailure when somebody has changed, on another node, what it has locked on this one */
  assertCertified (): void {
    for (const { table, id, version } of this.#versions.values()) if (this.#store.version(table, id) !== version) throw deadlock()
  }

  commit (): void {
    this.#store.commit([...this.#changes.values()])
    this.end()
  }

  /** Without a commit it is rolled back. */
  end (): void {
    this.#isOver = true
    this.#locks.releaseAll(this)
  }

  #indexOf (name: string): number {
    const index = this.#savepoints.findLastIndex(savepoint => savepoint.name === name)
    if (index < 0) throw new DatabaseFailure(1305, '42000', `SAVEPOINT ${name} does not exist`)
    return index
  }
}
