/** A promise that a test resolves, to hold a handler at a point or to learn that it got there. */
export class Gate<T = void> {
  readonly #deferred = Promise.withResolvers<T>()

  open (value: T): void {
    this.#deferred.resolve(value)
  }

  get opened (): Promise<T> {
    return this.#deferred.promise
  }
}
