import { clock } from '../clock.ts'
import { DatabaseFailure, deadlock } from './failure.ts'

interface Waiting<Owner> {
  readonly owner: Owner
  readonly settle: (failure?: DatabaseFailure) => void
}

/** Who may change which row, on one node. */
export class Locks<Owner extends object> {
  readonly #timeout: number
  readonly #owners = new Map<string, Owner>()
  readonly #queues = new Map<string, Waiting<Owner>[]>()
  readonly #waitsFor = new Map<Owner, string>()

  /** @param timeout how long somebody waits, in milliseconds */
  constructor (timeout: number) {
    this.#timeout = timeout
  }

  get count (): number {
    return this.#owners.size
  }

  /** @throws DatabaseFailure a deadlock, if nobody would go on; a lock wait timeout */
  async acquire (key: string, owner: Owner): Promise<void> {
    const current = this.#owners.get(key)
    if (current === owner) return
    if (current === undefined) {
      this.#owners.set(key, owner)
      return
    }
    for (let next: Owner | undefined = current; next !== undefined;) {
      if (next === owner) throw deadlock()
      const key: string | undefined = this.#waitsFor.get(next)
      next = key === undefined ? undefined : this.#owners.get(key)
    }
    await this.#wait(key, owner)
  }

  async #wait (key: string, owner: Owner): Promise<void> {
    this.#waitsFor.set(owner, key)
    await new Promise<void>((resolve, reject) => {
      const queue = this.#queues.get(key) ?? []
      this.#queues.set(key, queue)
      const waiting = {
        owner,
        settle: (failure?: DatabaseFailure) => {
          clock.clear(timer)
          this.#waitsFor.delete(owner)
          if (queue.includes(waiting)) queue.splice(queue.indexOf(waiting), 1)
          if (failure === undefined) resolve()
          else reject(failure)
        }
      }
      const timer = clock.after(this.#timeout, () => { waiting.settle(new DatabaseFailure(1205, 'HY000', 'Lock wait timeout exceeded; try restarting transaction')) })
      queue.push(waiting)
    })
  }

  /** Has whoever waits stop to. */
  interrupt (owner: Owner, failure: DatabaseFailure): void {
    const key = this.#waitsFor.get(owner)
    if (key !== undefined) this.#queues.get(key)?.find(waiting => waiting.owner === owner)?.settle(failure)
  }

  releaseAll (owner: Owner): void {
    for (const [key, holder] of [...this.#owners]) {
      if (holder !== owner) continue
      const next = this.#queues.get(key)?.[0]
      if (next === undefined) this.#owners.delete(key)
      else {
        this.#owners.set(key, next.owner)
        next.settle()
      }
    }
  }
}
