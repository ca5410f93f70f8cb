import fc from 'fast-check'
import type { Block, Change, Kind, Name, Program, Statement } from './program.ts'

/** What the database can do. */
export interface Abilities {
  /** Whether two transactions can be open at the same time. */
  readonly hasManyConnections: boolean
}

/** How often what is chosen. */
type Weighted<T> = fc.WeightedArbitrary<T>

/** How many entities of a kind there are to be named. The first two are in the database from the start. */
const NAMES = 4

const name = (kind: Kind, least = 0, limit = NAMES): fc.Arbitrary<Name> => fc.integer({ min: least, max: limit - 1 }).map(number => `${kind}${number}` as const)

const item = name('item')
const title = fc.constantFrom('a', 'b', 'c')

/** Whose code others try to take: it is never removed nor given another one, so that what fails depends on no order of statements. */
const TAKEN = 'item0'
const itemToChange = name('item', 1)

const change = (of: fc.Arbitrary<Name>, values: fc.Arbitrary<Change>) => fc.record({ do: fc.constant('change'), name: of, change: values })

const created = fc.oneof(
  fc.record({ do: fc.constant('create'), name: name('item', 2), title, code: fc.constantFrom(null, null, null, null, null, TAKEN) }),
  fc.record({ do: fc.constant('create'), name: fc.oneof(name('part', 2), name('label', 2)), title, code: fc.constant(null) })
)

const changed = fc.oneof(
  change(fc.oneof(item, name('part'), name('label')), title.map(value => ({ property: 'title', value }))),
  change(item, title.map(value => ({ property: 'place.city', value }))),
  change(item, title.map(city => ({ property: 'place', value: { street: 't', city } }))),
  change(item, fc.constantFrom(null, { count: 1 }, { count: 2 }).map(value => ({ property: 'data', value }))),
  change(item, fc.integer({ min: 1, max: 3 }).map(value => ({ property: 'data.count', value }))),
  change(name('part'), fc.option(item).map(value => ({ property: 'item', value }))),
  itemToChange.chain(named => change(fc.constant(named), fc.constantFrom(null, named, named, TAKEN).map(value => ({ property: 'code', value }))))
)

const collected = fc.constantFrom('parts', 'labels').chain(collection => fc.record({
  do: fc.constant('collect'),
  name: item,
  collection: fc.constant(collection),
  how: fc.constantFrom('add', 'remove', 'set'),
  members: fc.uniqueArray(name(collection === 'parts' ? 'part' : 'label'), { maxLength: 2 })
}))

const removed = fc.record({ do: fc.constant('remove'), name: fc.oneof(itemToChange, name('part')) })
const persisted = fc.record({ do: fc.constant('persist'), name: fc.oneof(name('item', 2), name('part', 2), name('label', 2)) })
const found = fc.record({ do: fc.constant('find'), kind: fc.constantFrom('item', 'item', 'part', 'label'), title: fc.option(title, { nil: undefined }), populate: fc.boolean() })
const flush = fc.constant({ do: 'flush' })

const simple: Weighted<Statement>[] = [
  { weight: 6, arbitrary: created },
  { weight: 8, arbitrary: changed },
  { weight: 4, arbitrary: collected },
  { weight: 2, arbitrary: removed },
  { weight: 2, arbitrary: persisted },
  { weight: 6, arbitrary: found },
  { weight: 4, arbitrary: flush }
]

const block = (statements: Weighted<Statement>[], maxLength = 6): fc.Arbitrary<Block> => fc.array(fc.oneof(...statements), { maxLength })

const caught = (body: fc.Arbitrary<Block>): fc.Arbitrary<Statement> => fc.record({ do: fc.constant('catch'), body })

const thrown: Weighted<Statement> = { weight: 1, arbitrary: fc.constant({ do: 'throw' }) }
const stumble: Weighted<Statement> = { weight: 4, arbitrary: fc.integer({ min: 1, max: 3 }).map(attempts => ({ do: 'stumble', attempts })) }
const outcome: Weighted<Statement> = { weight: 1, arbitrary: fc.constantFrom({ do: 'commit' }, { do: 'rollback' }) }
const caughtOutcome: Weighted<Statement> = { weight: 1, arbitrary: caught(outcome.arbitrary.map(statement => [statement])) }
const doom: Weighted<Statement> = { weight: 1, arbitrary: fc.constant({ do: 'doom' }) }

/** What only branches do: it lets the others come in between. */
const turns: [Weighted<Statement>, Weighted<Statement>] = [
  { weight: 4, arbitrary: fc.integer({ min: 1, max: 6 }).map(turns => ({ do: 'tick', turns })) },
  { weight: 2, arbitrary: fc.constant({ do: 'meet' }) }
]

/** One that throws is mostly caught. */
const transaction = (propagation: 'nested' | 'requires_new', of: fc.Arbitrary<Block>): fc.Arbitrary<Statement> => fc.tuple(of, fc.constantFrom('returns', 'is caught', 'is caught', 'throws')).map(([body, end]) => {
  const transaction: Statement = { do: 'transaction', propagation, body: end === 'returns' ? body : [...body, { do: 'throw' }] }
  return end === 'is caught' ? { do: 'catch', body: [transaction] } : transaction
})

/** It makes entities of its own, with names of their own: the rows that the request has written are locked. */
const ownTransaction = transaction('requires_new', block([
  { weight: 1, arbitrary: fc.record({ do: fc.constant('create'), name: fc.oneof(name('item', NAMES, 2 * NAMES), name('part', NAMES, 2 * NAMES), name('label', NAMES, 2 * NAMES)), title, code: fc.constant(null) }) },
  { weight: 1, arbitrary: flush },
  { weight: 1, arbitrary: found }
], 3))

/** Statements, and transactions that have the same in them, so many deep. */
function nested (statements: Weighted<Statement>[], { hasManyConnections }: Abilities, depth: number): Weighted<Statement>[] {
  if (depth === 0) return statements
  const body = block(nested(statements, { hasManyConnections }, depth - 1))
  return [
    ...statements,
    { weight: 6, arbitrary: transaction('nested', body) },
    { weight: 2, arbitrary: caught(body) },
    ...hasManyConnections ? [{ weight: 2, arbitrary: ownTransaction }] : []
  ]
}

/** Branches; where one fails, the others are often left behind. */
function parallel (abilities: Abilities): Weighted<Statement> {
  const branch = block(nested([...simple, ...turns, thrown, outcome], abilities, 1))
  const failing = fc.tuple(branch, turns[0].arbitrary).map(([body, tick]): Block => [...body, tick, { do: 'throw' }])
  const statement: fc.Arbitrary<Statement> = fc.record({
    do: fc.constant('parallel'),
    wait: fc.constantFrom('all', 'allSettled'),
    branches: fc.tuple(fc.oneof({ weight: 3, arbitrary: branch }, { weight: 1, arbitrary: failing }), fc.array(branch, { minLength: 1, maxLength: 2 })).map(([first, others]) => [first, ...others])
  })
  return { weight: 4, arbitrary: fc.oneof(statement, caught(statement.map(one => [one]))) }
}

/** Most programs begin with what they go on with in their hands. */
const first = fc.constantFrom<Block[]>([{ do: 'find', kind: 'item', title: undefined, populate: true }], [{ do: 'find', kind: 'item', title: undefined, populate: true }], [])

const answer: fc.Arbitrary<Program['answer']> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ status: fc.constantFrom(200, 201, 303), how: fc.constantFrom('return', 'send') }) },
  { weight: 1, arbitrary: fc.record({ status: fc.constantFrom(404, 409, 422, 500), how: fc.constantFrom('return', 'send', 'throw') }) }
)

export function programs (abilities: Abilities): fc.Arbitrary<Program> {
  const sequential = nested([...simple, thrown], abilities, 3)
  return fc.oneof(
    { weight: 6, arbitrary: program(false, block([...sequential, outcome, caughtOutcome, doom], 10)) },
    { weight: 3, arbitrary: program(false, block([...sequential, parallel(abilities), outcome, doom], 10)) },
    // One that is caught is not done again, and what is committed is not either.
    { weight: 1, arbitrary: program(true, block([...simple, thrown, stumble, { weight: 4, arbitrary: fc.record({ do: fc.constant('transaction'), propagation: fc.constant('nested'), body: block([...simple, stumble]) }) }], 10)) },
    { weight: 1, arbitrary: program(true, block([...simple, stumble, parallel(abilities)], 10)) }
  )
}

function program (retries: boolean, rest: fc.Arbitrary<Block>): fc.Arbitrary<Program> {
  return fc.record({
    method: fc.constantFrom('POST', 'POST', 'GET'),
    via: fc.constantFrom('request.db', 'db.session', 'orm.em', 'em'),
    flushMode: fc.constantFrom('always', 'always', 'always', 'auto'),
    transport: fc.constantFrom('inject', 'inject', 'inject', 'inject', 'inject', 'inject', 'inject', 'socket'),
    retries: fc.constant(retries),
    body: fc.tuple(first, rest).map(([first, rest]) => [...first, ...rest]),
    answer
  })
}
