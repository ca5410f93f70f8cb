import { rollbackOnly } from './errors.ts'

/** Whether nothing but a rollback is left of a transaction, and why. */
export class RollbackOnly {
  #reason: unknown
  #hasRefused = false

  get reason (): unknown {
    return this.#reason
  }

  /** Whether something was refused because of it. */
  get hasRefused (): boolean {
    return this.#hasRefused
  }

  /** The first reason is the one that is told. */
  because (reason: unknown): void {
    this.#reason ??= reason
  }

  /** @throws RollbackOnlyError if it is */
  assertNot (): void {
    if (this.#reason === undefined) return
    this.#hasRefused = true
    throw rollbackOnly(this.#reason)
  }

  /**
   * @param failure what else leaves only a rollback
   * @throws RollbackOnlyError if either is there
   */
  assertCommittable (failure: unknown): void {
    const reason = this.#reason ?? failure
    if (reason !== undefined) throw rollbackOnly(reason)
  }

  /** It was rolled back. */
  clear (): void {
    this.#reason = undefined
    this.#hasRefused = false
  }
}
