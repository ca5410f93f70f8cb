/** What can be in one `Bag` at a time. */
export interface BagMember {
  /** Its place there, which is the bag's to set. */
  index: number
}

/**
 * What is there now, in no order. What comes and goes with every statement would ruin garbage collection in a `Set`: that makes itself a
 * new table every few additions, and the old one, dead but not young any more, keeps alive what was in it. Here a place is used again.
 */
export class Bag<T extends BagMember> implements Iterable<T> {
  readonly #members: T[] = []

  get size (): number {
    return this.#members.length
  }

  has (member: T): boolean {
    return this.#members[member.index] === member
  }

  add (member: T): void {
    member.index = this.#members.push(member) - 1
  }

  /** @returns whether it was there */
  delete (member: T): boolean {
    if (!this.has(member)) return false
    const last = this.#members.pop() as T
    if (last === member) return true
    this.#members[member.index] = last
    last.index = member.index
    return true
  }

  some (isMeant: (member: T) => boolean): boolean {
    return this.#members.some(isMeant)
  }

  /** Those that are there now: what comes or goes meanwhile changes nothing. */
  [Symbol.iterator] (): Iterator<T> {
    return [...this.#members].values()
  }
}
