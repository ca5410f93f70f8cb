/** How long branches wait for each other, in milliseconds: one may be waiting for what another holds. */
const PATIENCE = 20

/** Where the branches of a program wait for each other. */
export class Barrier {
  #expected: number
  #waiting: (() => void)[] = []

  constructor (branches: number) {
    this.#expected = branches
  }

  async arrive (): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting.push(resolve)
    this.#openIfComplete()
    const timer = setTimeout(() => this.#open(), PATIENCE)
    await promise
    clearTimeout(timer)
  }

  /** A branch has ended, and is waited for no longer. */
  leave (): void {
    this.#expected--
    this.#openIfComplete()
  }

  #openIfComplete (): void {
    if (this.#waiting.length >= this.#expected) this.#open()
  }

  #open (): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}
