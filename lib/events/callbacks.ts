import { Changes } from './changes.ts'
import type { Outcome, ScopeInfo } from '../types.ts'
import type { SessionDatabase } from './signals.ts'

/** Work that waits for an outcome. What it returns is waited for when the application closes; what it throws goes to the log. */
export type AfterWork = () => unknown

const SIGNALS = { commit: 'committed', rollback: 'rolledBack' } as const

interface OutcomeCallback {
  readonly database: SessionDatabase
  readonly outcome: Outcome
  readonly work: AfterWork
}

type IsMeant = (database: SessionDatabase) => boolean

/**
 * What waits for the outcome of a scope, or of a transaction inside it: after-commit and after-rollback work, and the changes that
 * signals tell of. Everything is of one database, whose session may end by itself.
 */
export class OutcomeCallbacks {
  #callbacks: OutcomeCallback[] = []
  #changes = new Map<SessionDatabase, Changes>()

  get isEmpty (): boolean {
    return this.#callbacks.length === 0 && this.#changes.size === 0
  }

  add (callback: OutcomeCallback): void {
    this.#callbacks.push(callback)
  }

  /** The changes of a database, to record more of them. */
  changesOf (database: SessionDatabase): Changes {
    const changes = this.#changes.get(database) ?? new Changes()
    this.#changes.set(database, changes)
    return changes
  }

  /** A transaction inside this one was released: what waited for its end waits for that of this one. */
  absorb (released: OutcomeCallbacks): void {
    const { callbacks, changes } = released.#takeOut()
    this.#callbacks.push(...callbacks)
    for (const [database, later] of changes) this.changesOf(database).absorb(later)
  }

  /**
   * The outcome is there: takes out everything, or what is of the databases that are meant.
   * @returns what there is to do now: the work that has waited for this outcome, and the listeners to be told of it
   */
  take (outcome: Outcome, info: ScopeInfo, isMeant?: IsMeant): AfterWork[] {
    const { callbacks, changes } = this.#takeOut(isMeant)
    const works = callbacks.filter(one => one.outcome === outcome).map(({ work }) => work)
    const told = [...changes].flatMap(([{ name, listeners }, changed]) =>
      listeners.telling(SIGNALS[outcome], () => ({ database: name, ...info, changes: changed.byOperation() })))
    return [...works, ...told]
  }

  /**
   * Nobody knows the outcome: takes out everything.
   * @returns how much work will never be done
   */
  drop (): number {
    return this.#takeOut().callbacks.length
  }

  #takeOut (isMeant: IsMeant = () => true): { callbacks: OutcomeCallback[], changes: Map<SessionDatabase, Changes> } {
    const callbacks = this.#callbacks.filter(({ database }) => isMeant(database))
    const changes = new Map([...this.#changes].filter(([database]) => isMeant(database)))
    this.#callbacks = this.#callbacks.filter(({ database }) => !isMeant(database))
    for (const database of changes.keys()) this.#changes.delete(database)
    return { callbacks, changes }
  }
}
