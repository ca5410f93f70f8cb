import type { HostedScope } from '../scope/contracts.ts'

/** The scopes of one application that have something to clean up. */
export class OpenScopes {
  readonly #scopes = new Set<HostedScope>()
  #idle: PromiseWithResolvers<void> | undefined

  get size (): number {
    return this.#scopes.size
  }

  /** How many there are of each kind. */
  get kinds (): Record<string, number> {
    const kinds = { request: 0, 'db.run': 0, 'db.open': 0 }
    for (const { kind } of this.#scopes) kinds[kind]++
    const { request: requests, ...others } = kinds
    return { requests, ...others }
  }

  add (scope: HostedScope): void {
    this.#scopes.add(scope)
  }

  delete (scope: HostedScope): void {
    this.#scopes.delete(scope)
    if (this.#scopes.size > 0) return
    this.#idle?.resolve()
    this.#idle = undefined
  }

  /** Waits until there is none. */
  async idle (): Promise<void> {
    if (this.#scopes.size === 0) return
    this.#idle ??= Promise.withResolvers()
    await this.#idle.promise
  }

  /** Destroys all of them, whatever they do. */
  async destroy (): Promise<void> {
    await Promise.all([...this.#scopes].map(scope => scope.destroy()))
  }
}
