import { clock } from '../clock.ts'
import { DatabaseFailure } from './failure.ts'
import { writes, type Kind } from './kind.ts'
import { Locks } from './locks.ts'
import type { Session } from './session.ts'
import type { Transaction } from './transaction.ts'

/** How long somebody waits for a row, in milliseconds. */
const LOCK_WAIT_TIMEOUT = 1_000

/** What a node cannot do for a while. */
type Lack = 'up' | 'reachable' | 'primary' | 'writable' | 'with places'

/** One server of a cluster, or the only one. */
export class Node {
  /** What it is: MySQL takes no BEGIN together with a statement. */
  readonly version: string
  readonly sessions = new Set<Session>()
  readonly locks = new Locks<Transaction>(LOCK_WAIT_TIMEOUT)
  readonly #tossUp: () => boolean
  readonly #lacks = new Map<Lack, number>()
  #frozenUntil = 0
  #connections = 0

  /** @param tossUp decides what nobody knows */
  constructor (version: string, tossUp: () => boolean) {
    this.version = version
    this.#tossUp = tossUp
  }

  /** Whether it is. */
  is (what: Lack): boolean {
    return (this.#lacks.get(what) ?? 0) <= clock.now
  }

  /** The name of a new connection: other nodes have the same ones. */
  nextConnection (): number {
    return ++this.#connections
  }

  async thawed (): Promise<void> {
    while (clock.now < this.#frozenUntil) await clock.sleep(this.#frozenUntil - clock.now)
  }

  freeze (milliseconds: number): void {
    this.#frozenUntil = Math.max(this.#frozenUntil, clock.now + milliseconds)
  }

  /** What it was doing is lost, and it is started again after a while. */
  crash (milliseconds: number): void {
    this.#lack('up', milliseconds)
    this.cutAll()
  }

  /** Nothing comes through on the connections that there are, and on those that are made for a while. */
  partition (milliseconds: number): void {
    this.#lack('reachable', milliseconds)
    for (const { link } of this.sessions) link.silence()
  }

  /** It has lost the other nodes. */
  isolate (milliseconds: number): void {
    this.#lack('primary', milliseconds)
  }

  becomeReadOnly (milliseconds: number): void {
    this.#lack('writable', milliseconds)
  }

  /** Others have taken all places. */
  fill (milliseconds: number): void {
    this.#lack('with places', milliseconds)
    this.cutAll()
  }

  cutAll (): void {
    for (const { link } of [...this.sessions]) link.cut()
  }

  /** What it says in the place of carrying a statement out. */
  refusal (sql: string, kind: Kind, session: Session): DatabaseFailure | undefined {
    if (kind === 'question' || kind === 'rollback') return undefined
    if (!this.is('primary')) {
      if (kind !== 'commit') return new DatabaseFailure(1047, '08S01', 'WSREP has not yet prepared node for application use')
      // The others may have it all the same.
      if (this.#tossUp()) session.commit()
      return new DatabaseFailure(1180, 'HY000', 'Got error 6 "No such device or address" during COMMIT', 'rollback')
    }
    if (!this.is('writable') && (kind === 'commit' ? session.hasWritten : writes(sql))) {
      return new DatabaseFailure(1290, 'HY000', 'The MariaDB server is running with the --read-only option so it cannot execute this statement')
    }
    return undefined
  }

  #lack (what: Lack, milliseconds: number): void {
    this.#lacks.set(what, Math.max(this.#lacks.get(what) ?? 0, clock.now + milliseconds))
  }
}
