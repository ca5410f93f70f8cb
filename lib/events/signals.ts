import type { EntityManager, MikroORM } from '@mikro-orm/core'
import { assertFunction, oneOf, show } from '../options/validate.ts'
import type { DatabaseTarget } from '../diagnostics/messages.ts'
import type { ChangedEntities } from './changes.ts'
import { InvalidOptionError } from '../errors/errors.ts'
import type { ScopeInfo } from '../types.ts'

/** What every signal says. */
interface ScopeSignal extends ScopeInfo {
  /** The name of the database. */
  readonly database: string
}

/** What `opened` and `closed` tell. */
export interface SessionSignal extends ScopeSignal {
  /** After `closed` it cannot be used any more. */
  readonly session: EntityManager
}

/** What `committed` and `rolledBack` tell. */
export interface OutcomeSignal extends ScopeSignal {
  /** The entities that were flushed since the last outcome: not what `em.insert()`, query builders and raw statements have done. */
  readonly changes: ChangedEntities
}

/** What `db.on()` tells of, by the name of the signal. */
export interface Signals {
  /** Changes are in the database. Told after the reply, outside the scope. */
  committed: OutcomeSignal
  /** Changes that were flushed are not in the database. Told after the reply, outside the scope. */
  rolledBack: OutcomeSignal
  /** A session was made. Told at once, before anything is done with it. */
  opened: SessionSignal
  /** A session is closed. */
  closed: SessionSignal
}

/** What `db.on()` takes. What it throws, or rejects with, goes to the log. */
export type Listener<Name extends keyof Signals> = (signal: Signals[Name]) => unknown

type Listeners = { [Name in keyof Signals]: Set<Listener<Name>> }

const name = oneOf('committed', 'rolledBack', 'opened', 'closed')

/** A registered database, for those who make sessions of it and tell of them. */
export interface SessionDatabase {
  readonly name: string
  readonly orm: MikroORM
  /** @internal Where it is. */
  readonly target: DatabaseTarget
  /** @internal Who wants to be told of its sessions. */
  readonly listeners: SignalListeners
}

/** Who wants to be told what of one database. The idea is Blinker's, whose signals Flask-SQLAlchemy sends. */
export class SignalListeners {
  readonly #listeners: Listeners = { committed: new Set(), rolledBack: new Set(), opened: new Set(), closed: new Set() }

  /**
   * @returns what ends it
   * @throws InvalidOptionError for a signal that does not exist, or a listener that is no function
   */
  on<Name extends keyof Signals> (signal: Name, listener: Listener<Name>): () => void {
    if (!name.accepts(signal)) throw new InvalidOptionError('db.on()', name.takes, show(signal))
    assertFunction(listener, `the listener of db.on('${signal}')`)
    const listeners = this.#listeners[signal] as Set<Listener<Name>>
    // Two times the same function are two listeners.
    const own: Listener<Name> = told => listener(told)
    listeners.add(own)
    return () => { listeners.delete(own) }
  }

  /** Whether anybody wants to know what was changed. */
  get wantsChanges (): boolean {
    return this.#listeners.committed.size > 0 || this.#listeners.rolledBack.size > 0
  }

  /** What there is to do to tell everybody of a signal. The signal is only made if somebody wants it. */
  telling<Name extends keyof Signals> (signal: Name, tell: () => Signals[Name]): (() => unknown)[] {
    const listeners = [...this.#listeners[signal]] as Listener<Name>[]
    if (listeners.length === 0) return []
    const told = tell()
    return listeners.map(listener => () => listener(told))
  }
}
