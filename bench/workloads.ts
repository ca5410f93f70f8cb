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
  /** @param n a whole number: different ones ask for different rows */
  request (n: number): WorkloadRequest
}

const idOf = (n: number) => 1 + n % AUTHORS
const insert = (n: number): WorkloadRequest => ({ method: 'POST', path: '/authors', body: JSON.stringify({ name: `new ${n}` }) })

/** The one that uses no database. */
export const STATIC: Workload = {
  name: 'static',
  title: 'a route that uses no database',
  usesDatabase: false,
  leaves: false,
  expectedCost: 40,
  request: () => ({ method: 'GET', path: '/static' })
}

/** What every contender has routes for. */
export const workloads: readonly Workload[] = [
  STATIC,
  {
    name: 'read',
    title: 'read by id',
    usesDatabase: true,
    leaves: false,
    expectedCost: 400,
    request: n => ({ method: 'GET', path: `/authors/${idOf(n)}` })
  },
  {
    name: 'list',
    title: 'list of 50 with a relation',
    usesDatabase: true,
    leaves: false,
    expectedCost: 1500,
    request: () => ({ method: 'GET', path: '/books' })
  },
  {
    name: 'insert',
    title: 'insert and commit',
    usesDatabase: true,
    leaves: false,
    expectedCost: 500,
    request: insert
  },
  {
    name: 'update',
    title: 'read, modify and write in a transaction',
    usesDatabase: true,
    leaves: false,
    expectedCost: 900,
    request: n => ({ method: 'POST', path: `/authors/${idOf(n)}/visits` })
  },
  {
    name: 'leaving',
    title: 'insert and commit, half of all clients going away',
    usesDatabase: true,
    leaves: true,
    expectedCost: 800,
    request: insert
  }
]
