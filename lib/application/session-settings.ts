import type { ForkOptions, IsolationLevel } from '@mikro-orm/core'
import type { FastifyRequest } from 'fastify'
import { InvalidOptionError } from '../errors/errors.ts'
import { readSessionOptions, sessionOptions, type ScopeSettings } from '../options/options.ts'
import type { Replicas } from '../replicas/replicas.ts'
import type { ConnectionPool } from '../transaction/connection-pool.ts'
import type { TransactionSettings } from '../transaction/contracts.ts'

/** What is known of the request, if there is one. */
export interface RequestPhase {
  /** Whether its method only reads. */
  readonly isSafe: boolean
  /** Whether its body has yet to be read. */
  awaitsBody (): boolean
}

/** What a client has written, by the positions of its commits in one database's log. */
export interface ClientWrites {
  /** The last that it knows of. */
  readonly wanted: string | undefined
  committed (position: string): void
}

interface DatabaseParts {
  readonly pool: ConnectionPool
  readonly replicas: Replicas | undefined
}

/** What a scope's settings mean for the transaction of one session. */
export function transactionSettings (settings: ScopeSettings, { pool, replicas }: DatabaseParts, phase?: RequestPhase, writes?: ClientWrites): TransactionSettings {
  const { commitOnTeardown, begin, isolationLevel, readOnly, beginWithFirst, causalReads } = settings
  // What is said to BEGIN needs one.
  const isFree = isolationLevel === undefined && !causalReads
  const isAuto = begin === 'auto' && isFree
  const automatic = isAuto && phase?.isSafe === true ? 'write' : 'statement'
  return {
    mode: commitOnTeardown === false ? 'manual' : 'automatic',
    begin: begin === 'auto' || !isFree ? automatic : begin,
    awaitsBody: isAuto && phase !== undefined ? () => phase.awaitsBody() : undefined,
    isolationLevel: isolationLevel as IsolationLevel | undefined,
    readOnly,
    beginWithFirst,
    causalReads,
    pool,
    source: replicas?.source(readOnly, writes && (() => writes.wanted)),
    committed: writes && (position => { writes.committed(position) })
  }
}

/** Fork options for one session. A function is checked each time, since what it gives is known only then. */
export function forkOptions ({ sessionOptions: given = {} }: ScopeSettings, request: FastifyRequest | undefined): ForkOptions {
  if (typeof given !== 'function') return given
  const options: unknown = given(request)
  const suffix = ' in what its function gave'
  // Most likely a forgotten `return`.
  if (options === undefined) throw new InvalidOptionError(`the option "sessionOptions"${suffix}`, sessionOptions.takes, 'undefined')
  return readSessionOptions(options, { whole: 'sessionOptions', suffix })
}
