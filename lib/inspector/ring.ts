import type { Entry } from './entry.ts'

/** What an entry takes besides its texts, more or less. */
const ENTRY = 1_000

/** As much of all that is kept may be of one entry. */
const SHARE = 4

interface Limits {
  readonly requests: number
  readonly bytes: number
}

/** The last entries, as many as its limits let it hold. */
export class Ring {
  readonly #limits: Limits
  readonly #entries = new Map<number, Entry>()
  readonly #bytesOf = new WeakMap<Entry, number>()
  readonly #changed: (entry: Entry) => void
  #bytes = 0

  /** @param changed is told of each entry of which something new is known */
  constructor (limits: Limits, changed: (entry: Entry) => void) {
    this.#limits = limits
    this.#changed = changed
  }

  /** The latest first. */
  get all (): Entry[] {
    return [...this.#entries.values()].reverse()
  }

  get (id: number): Entry | undefined {
    return this.#entries.get(id)
  }

  add (entry: Entry): void {
    this.#entries.set(entry.id, entry)
    this.grow(entry, ENTRY + 2 * (entry.request?.url.length ?? 0))
  }

  /** Whether an entry may take so many bytes more. One that has made room for others may take none. */
  hasRoom (entry: Entry, bytes: number): boolean {
    return this.#entries.has(entry.id) && this.#sizeOf(entry) + bytes <= this.#limits.bytes / SHARE
  }

  /** Something new is known of an entry, which takes so many bytes more. The oldest make room for it. */
  grow (entry: Entry, bytes = 0): void {
    entry.version++
    if (!this.#entries.has(entry.id)) return
    this.#bytesOf.set(entry, this.#sizeOf(entry) + bytes)
    this.#bytes += bytes
    for (const oldest of this.#entries.values()) {
      if (this.#entries.size <= this.#limits.requests && this.#bytes <= this.#limits.bytes) break
      this.#entries.delete(oldest.id)
      this.#bytes -= this.#sizeOf(oldest)
    }
    this.#changed(entry)
  }

  #sizeOf (entry: Entry): number {
    return this.#bytesOf.get(entry) ?? 0
  }
}
