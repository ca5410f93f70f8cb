import type { Duplex } from 'node:stream'
import { COUNTERS, TAKEN, TAKEN_ID, UNREADABLE } from '../../torture/application/entities.ts'
import type { Contents } from '../../torture/database/database.ts'
import type { Random } from '../../torture/random.ts'
import { clock } from '../clock.ts'
import type { Faults } from '../faults.ts'
import { Link, refused } from '../link.ts'
import { DatabaseFailure } from './failure.ts'
import { Node } from './node.ts'
import { failed } from './packets.ts'
import { Session } from './session.ts'
import { Store } from './store.ts'

const VERSIONS = ['10.11.6-MariaDB', '8.0.40']

/** Servers that have the same, behind a proxy that gives each connection to one of those that are up. */
export class Cluster {
  readonly nodes: readonly Node[]
  /** What was sent and what became of it, in order. */
  readonly trace: string[] = []
  readonly #random: Random
  readonly #faults: Faults
  readonly #stores: ReadonlyMap<string, Store>

  /** @param databases the names of those that it has, each with what there is before the first request */
  constructor (size: number, databases: readonly string[], random: Random, faults: Faults) {
    this.#random = random
    this.#faults = faults
    const version = random.pick(VERSIONS)
    this.nodes = Array.from({ length: size }, () => new Node(version, () => random.oneIn(2)))
    this.#stores = new Map(databases.map(name => [name, prepared()]))
  }

  get sessions (): Session[] {
    return this.nodes.flatMap(({ sessions }) => [...sessions])
  }

  /** What a driver takes for a socket. */
  connect (database: string): Duplex {
    const link = new Link(this.#faults.latency)
    clock.after(this.#faults.latency(), () => { if (!link.socket.destroyed) this.#accept(link, database) })
    return link.socket
  }

  #accept (link: Link, database: string): void {
    const up = this.nodes.filter(node => node.is('up'))
    if (up.length === 0) {
      link.socket.destroy(refused())
      return
    }
    const node = this.#random.pick(up)
    if (!node.is('reachable')) {
      link.silence()
    } else if (!node.is('with places')) {
      link.send(failed(new DatabaseFailure(1040, '08004', 'Too many connections'), 0))
      link.end()
    } else {
      const session = new Session(node, this.#stores.get(database) as Store, link, this.#faults, what => { this.tell(`node ${this.nodes.indexOf(node)}, ${what}`) })
      node.sessions.add(session)
      link.connect(session)
    }
  }

  tell (what: string): void {
    this.trace.push(`${clock.now.toFixed(1).padStart(10)} ms  ${what}`)
  }

  /** What is committed. */
  read (): Contents {
    const stores = [...this.#stores.values()]
    const [first] = stores as [Store]
    const parts = new Map<string, number[]>()
    for (const { token, part } of stores.flatMap(store => store.all('entry'))) {
      if (token !== TAKEN && token !== UNREADABLE) parts.set(String(token), [...parts.get(String(token)) ?? [], Number(part)].sort((a, b) => a - b))
    }
    const entries = first.all('entry')
    const counters = first.all('counter').map(({ id, value }) => ({ id: Number(id), value: Number(value), named: entries.filter(({ counter }) => counter === id).length }))
    return { parts, counters }
  }
}

function prepared (): Store {
  const store = new Store()
  const entry = { part: '0', counter: null, mark: null, note: null }
  store.commit([
    ...Array.from({ length: COUNTERS }, (_, index) => String(index + 1)).map(id => ({ table: 'counter', id, row: { id, value: '0' } })),
    ...[{ ...entry, id: String(TAKEN_ID), token: TAKEN, mark: TAKEN }, { ...entry, id: '2', token: UNREADABLE, note: JSON.stringify({ [UNREADABLE]: true }) }].map(row => ({ table: 'entry', id: row.id, row }))
  ])
  return store
}
