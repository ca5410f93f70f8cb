/**
 * A handler as data. It means the same to MikroORM and to SQLAlchemy: what cannot be done (the entity is not in the session) is skipped by
 * both, so every program can be run, whatever is taken out of it.
 *
 * An entity is named by its kind and a number, as in `item2`. The first ones are in the database from the start: see seeds.ts.
 */

export type Kind = 'item' | 'part' | 'label'

export const KINDS: readonly Kind[] = ['item', 'part', 'label']

/** How a program names an entity; also what its row has in its column `name`, which never changes. */
export type Name = `${Kind}${number}`

/** What changes about an entity. */
export type Change =
  | { readonly property: 'title', readonly value: string }
  /** Unique: an entity's own name, or that of another, which has to fail. */
  | { readonly property: 'code', readonly value: string | null }
  | { readonly property: 'place', readonly value: { readonly street: string, readonly city: string } }
  /** Inside the embedded object, and inside the JSON value. */
  | { readonly property: 'place.city', readonly value: string }
  | { readonly property: 'data', readonly value: { readonly count: number } | null }
  | { readonly property: 'data.count', readonly value: number }
  /** The part's side of one to many. */
  | { readonly property: 'item', readonly value: Name | null }

export type Statement =
  | { readonly do: 'create', readonly name: Name, readonly title: string, readonly code: string | null }
  | { readonly do: 'change', readonly name: Name, readonly change: Change }
  | { readonly do: 'remove', readonly name: Name }
  /** Again what a transaction that rolled back has taken out of the session. */
  | { readonly do: 'persist', readonly name: Name }
  | { readonly do: 'collect', readonly name: Name, readonly collection: 'parts' | 'labels', readonly how: 'add' | 'remove' | 'set', readonly members: readonly Name[] }
  /** All of a kind, or those with a title; with their collections, or not. */
  | { readonly do: 'find', readonly kind: Kind, readonly title: string | undefined, readonly populate: boolean }
  | { readonly do: 'flush' }
  | { readonly do: 'throw' }
  /** `em.transactional()`. */
  | { readonly do: 'transaction', readonly propagation: 'nested' | 'requires_new', readonly body: Block }
  | { readonly do: 'catch', readonly body: Block }
  | { readonly do: 'commit' }
  | { readonly do: 'rollback' }
  | { readonly do: 'doom' }
  /** `Promise.all()`, or `Promise.allSettled()`. */
  | { readonly do: 'parallel', readonly wait: 'all' | 'allSettled', readonly branches: readonly Block[] }
  /** Lets others run, so many turns of the event loop. */
  | { readonly do: 'tick', readonly turns: number }
  /** Waits until all branches have come as far. */
  | { readonly do: 'meet' }
  /** A transient error, in the first attempts only. */
  | { readonly do: 'stumble', readonly attempts: number }

export type Block = readonly Statement[]

export interface Program {
  readonly method: 'GET' | 'POST'
  /** How its code gets at the session. */
  readonly via: 'request.db' | 'db.session' | 'orm.em' | 'em'
  readonly flushMode: 'auto' | 'always'
  readonly transport: 'inject' | 'socket'
  /** Whether its route runs it again after a transient error. */
  readonly retries: boolean
  readonly body: Block
  readonly answer: { readonly status: number, readonly how: 'return' | 'send' | 'throw' }
}

function * statementsOf (block: Block): Generator<Statement> {
  for (const statement of block) {
    yield statement
    if ('body' in statement) yield * statementsOf(statement.body)
    if ('branches' in statement) for (const branch of statement.branches) yield * statementsOf(branch)
  }
}

/** What there is in it. */
export function labelsOf ({ body }: Program): Set<string> {
  return new Set(Array.from(statementsOf(body), labelOf))
}

/** The items that are given another code. */
export function itemsWithOtherCodes ({ body }: Program): Set<Name> {
  const changes = Array.from(statementsOf(body)).filter(statement => statement.do === 'change')
  return new Set(changes.filter(({ change }) => change.property === 'code').map(({ name }) => name))
}

function labelOf (statement: Statement): string {
  switch (statement.do) {
    case 'change': return `change(${statement.change.property})`
    case 'collect': return `collect(${statement.collection})`
    case 'transaction': return statement.propagation
    default: return statement.do
  }
}

export function hasBranches (program: Program): boolean {
  return labelsOf(program).has('parallel')
}

export function kindOf (name: Name): Kind {
  return name.replace(/\d+$/, '') as Kind
}
