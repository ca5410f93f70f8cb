import type { ContenderName } from './contenders/all.ts'
import { AUTHORS } from './entities.ts'

/** One request, as the load sends it. */
export interface WorkloadRequest {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly body?: string
}

export interface Workload {
  readonly name: string
  readonly title: string
  /** Whether it asks anything of a database. */
  readonly usesDatabase: boolean
  /** Whether every second client goes away before its answer. */
  readonly leaves: boolean
  /** About how much of the server's time a request takes, in microseconds: how many requests make a round of one length. */
  readonly expectedCost: number
  /** After how many requests V8 has optimized what serves it. */
  readonly warmUp: number
  /** @param n a whole number: different ones ask for different rows */
  request (n: number): WorkloadRequest
}

const idOf = (n: number) => 1 + n % AUTHORS

/** The one that uses no database. */
export const STATIC: Workload = {
  name: 'static',
  title: 'a route that uses no database',
  usesDatabase: false,
  leaves: false,
  expectedCost: 40,
  warmUp: 20_000,
  request: () => ({ method: 'GET', path: '/static' })
}

export const INSERT: Workload = {
  name: 'insert',
  title: 'insert and commit',
  usesDatabase: true,
  leaves: false,
  expectedCost: 500,
  warmUp: 8_000,
  request: n => ({ method: 'POST', path: '/authors', body: JSON.stringify({ name: `new ${n}` }) })
}

/** What is asked of contenders. */
export const workloads: readonly Workload[] = [
  STATIC,
  {
    name: 'read',
    title: 'read by id',
    usesDatabase: true,
    leaves: false,
    expectedCost: 300,
    warmUp: 8_000,
    request: n => ({ method: 'GET', path: `/authors/${idOf(n)}` })
  },
  {
    name: 'list',
    title: 'list of 50 with a relation',
    usesDatabase: true,
    leaves: false,
    expectedCost: 1500,
    // Each of them goes fifty times through what it takes longest.
    warmUp: 2_000,
    request: () => ({ method: 'GET', path: '/books' })
  },
  INSERT,
  {
    name: 'update',
    title: 'read, modify and write in a transaction',
    usesDatabase: true,
    leaves: false,
    expectedCost: 800,
    warmUp: 8_000,
    request: n => ({ method: 'POST', path: `/authors/${idOf(n)}/visits` })
  },
  {
    ...INSERT,
    name: 'leaving',
    title: 'insert and commit, half of all clients going away',
    leaves: true
  }
]

/** Those that a contender has routes for: without a database there is nothing to ask of one. */
export function answerable (contender: ContenderName, workloads: readonly Workload[]): Workload[] {
  return workloads.filter(({ usesDatabase }) => contender !== 'bare' || !usesDatabase)
}
