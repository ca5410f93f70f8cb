/** Requests that are kept waiting, until they are let go. */
class Held {
  #count = 0
  #gate = Promise.withResolvers<void>()

  get count (): number {
    return this.#count
  }

  async wait (): Promise<string> {
    this.#count++
    await this.#gate.promise
    this.#count--
    return 'held'
  }

  release (): void {
    this.#gate.resolve()
    this.#gate = Promise.withResolvers()
  }
}

export const held = new Held()
