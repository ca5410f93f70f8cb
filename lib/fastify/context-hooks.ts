/** At which stages the contexts of an application have hooks of its own, as far as `addHook()` has told. */
export class ContextHooks {
  readonly #contexts = new Map<string, object[]>()

  /** @returns whether it is the first there */
  add (stage: string, context: object): boolean {
    if (this.has(stage, context)) return false
    const contexts = this.#contexts.get(stage) ?? []
    this.#contexts.set(stage, [...contexts, context])
    return true
  }

  /** Whether the routes of this context have any: those around it, which it inherits from, pass theirs on. */
  has (stage: string, context: object): boolean {
    return this.#contexts.get(stage)?.some(outer => outer === context || Object.prototype.isPrototypeOf.call(outer, context)) === true
  }
}
