import { FlushMode, IsolationLevel } from '@mikro-orm/core'
import fc from 'fast-check'
import { read } from './fences.ts'
import { anyValue, strangeName, type Boxed } from './wrong-values.ts'

export type Options = Record<string | symbol, unknown>

/** What is right for an option, in the words of docs/api.md: `lib/options/options.ts` is not asked. */
interface Oracle {
  readonly right: fc.Arbitrary<unknown>
  readonly isRight: (value: unknown) => boolean
}

type Oracles = Record<string, Oracle>

const oneOf = (...values: unknown[]): Oracle => ({ right: fc.constantFrom(...values), isRight: value => values.includes(value) })
const flag = oneOf(true, false)
const milliseconds: Oracle = {
  right: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
  isRight: value => typeof value === 'number' && value >= 1 && value < 2 ** 31 && value % 1 === 0
}

export const FORK: Oracles = {
  flushMode: oneOf(...Object.values(FlushMode)),
  schema: { right: fc.constantFrom('main', ''), isRight: value => typeof value === 'string' },
  loggerContext: { right: fc.dictionary(fc.string(), fc.string()), isRight: isPlain },
  signal: { right: fc.constant(new AbortController().signal), isRight: () => false },
  // SQLite can do no other.
  inflightQueryAbortStrategy: { ...oneOf('ignore query', 'cancel query', 'kill session'), right: fc.constant('ignore query') },
  freshEventManager: flag,
  cloneEventManager: flag,
  // SQLite knows nothing of it.
  session: { right: fc.constant(undefined), isRight: isPlain }
}

/** What a scope decides by itself. */
export const RESERVED = ['clear', 'useContext', 'disableContextResolution', 'keepTransactionContext', 'disableTransactions']

const echo: Oracle = {
  right: fc.oneof(flag.right, some({ level: oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal'), parameters: flag, slowerThan: milliseconds })),
  isRight: value => flag.isRight(value) || (isPlain(value) && Reflect.ownKeys(value as object).length === 0)
}

const never = (oracle: Oracle): Oracle => ({ right: fc.oneof(oracle.right, fc.constant(false)), isRight: value => value === false || oracle.isRight(value) })

const warnings: Oracle = {
  right: fc.oneof(flag.right, some({
    repeatedStatements: never({ right: fc.integer({ min: 1 }), isRight: () => false }),
    onRepeated: oneOf('warn', 'throw'),
    slowStatement: never(milliseconds),
    longTransaction: never(milliseconds)
  })),
  isRight: echo.isRight
}

const tagStatements: Oracle = { right: fc.oneof(flag.right, some({ route: flag, method: flag, requestId: flag, traceparent: flag })), isRight: echo.isRight }

const RUN_SCOPE: Oracles = {
  commitOnTeardown: flag,
  // An object with anything in it that `anyValue` makes up holds something unknown.
  sessionOptions: { right: some(FORK), isRight: value => isPlain(value) && Reflect.ownKeys(value as object).length === 0 },
  begin: oneOf('auto', 'statement', 'write'),
  beginWithFirst: flag,
  isolationLevel: oneOf(...Object.values(IsolationLevel)),
  readOnly: flag,
  causalReads: { ...flag, right: fc.constant(false) },
  echo,
  recordStatements: flag,
  warnings,
  tagStatements
}

const SCOPE: Oracles = {
  ...RUN_SCOPE,
  commitOnTeardown: or(flag, () => true, function () { return false }, Object.freeze(function () { return true }), new Proxy(() => true, {})),
  sessionOptions: or(RUN_SCOPE['sessionOptions'], () => ({}), () => Object.create(null) as object),
  cancelOnAbort: flag,
  mapErrors: flag
}

const attempts: Oracle = {
  right: fc.integer({ min: 2, max: 100 }),
  isRight: value => typeof value === 'number' && value >= 2 && value <= 100 && value % 1 === 0
}

const retry: Oracle = {
  right: fc.oneof(attempts.right, some({ attempts, backoff: milliseconds, when: { right: fc.constantFrom(() => true, function () { return false }), isRight: () => false } })),
  isRight: value => attempts.isRight(value) || (isPlain(value) && Reflect.ownKeys(value as object).length === 0)
}

/** What `db.open()` takes. */
export const OPEN: Oracles = { ...RUN_SCOPE, use: ofDefault(RUN_SCOPE) }

export const RUN: Oracles = { ...OPEN, retry }

export const ROUTE: Oracles = { ...SCOPE, use: ofDefault(SCOPE), retry }

/** Without `orm`. Options that are named Timeout are found by themselves. */
export const PLUGIN: Oracles = {
  ...SCOPE,
  checkConnection: flag,
  replicas: { right: some({ maxLag: milliseconds, retryAfter: milliseconds }), isRight: value => isPlain(value) && Reflect.ownKeys(value as object).length === 0 },
  readYourWrites: { right: fc.constantFrom({ cookie: 'written', secret: '0123456789abcdef' }, { header: 'x-written', secret: '0123456789abcdef', maxWait: 1 }), isRight: () => false },
  name: { right: fc.string({ minLength: 1 }), isRight: value => typeof value === 'string' && value.length > 0 },
  ...Object.fromEntries(optionsOf('ScopedDbOptions').filter(option => option.endsWith('Timeout')).map(option => [option, milliseconds]))
}

function ofDefault (oracles: Oracles): Oracle {
  return { right: fc.record({ default: some(oracles) }, { requiredKeys: [] }), isRight: value => isPlain(value) && Reflect.ownKeys(value as object).length === 0 }
}

function or (oracle: Oracle | undefined, ...functions: unknown[]): Oracle {
  return { isRight: () => false, ...oracle, right: fc.oneof(oracle?.right ?? fc.constant(undefined), fc.constantFrom(...functions)) }
}

/** The options of an interface of lib/options/, and of those that it extends, in the order of the alphabet. */
export function optionsOf (name: string): string[] {
  const [source = '', base] = new RegExp(`export interface ${name} (?:extends (\\w+) )?{[^]*?\n}`).exec(['options', 'diagnostics-options', 'inspector-options'].map(file => read(`lib/options/${file}.ts`)).join('')) ?? []
  const own = [...source.matchAll(/^ {2}(\w+)\?:/gm)].map(([, option = '']) => option)
  return [...own, ...base === undefined ? [] : optionsOf(base)].sort()
}

/** Some of the options, all of them right. Undefined is as good as none. */
export function some (oracles: Oracles): fc.Arbitrary<Options> {
  return fc.record(Object.fromEntries(Object.entries(oracles).map(([option, { right }]) => [option, fc.option(right, { nil: undefined, freq: 6 })])), { requiredKeys: [] })
}

/** An option, and what is wrong for it. */
export function wrong (oracles: Oracles): fc.Arbitrary<[option: string, wrong: Boxed]> {
  return fc.tuple(fc.constantFrom(...Object.keys(oracles)), anyValue)
    .filter(([option, { value }]) => value !== undefined && oracles[option]?.isRight(value) !== true)
}

/** A name that is not among the options, though perhaps nearly. */
export function unknown (oracles: Oracles): fc.Arbitrary<string | symbol> {
  const known = Object.keys(oracles)
  const nearly = fc.constantFrom(...known).chain(name => fc.constantFrom(name.toUpperCase(), `${name}s`, name.slice(1), ` ${name}`, `${name.slice(0, 1).toUpperCase()}${name.slice(1)}`))
  return fc.oneof(strangeName, nearly).filter(name => typeof name === 'symbol' || ![...known, 'orm', 'prefix', 'logLevel', 'logSerializers'].includes(name))
}

/** What does not even have options. */
export const noOptions = anyValue.filter(({ value }) => !isPlain(value))

function isPlain (value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  try {
    return [Object.prototype, null].includes(Object.getPrototypeOf(value) as object | null)
  } catch {
    return false
  }
}
