import fc from 'fast-check'

const fail = (): never => { throw new Error('a trap') }
const traps = ['get', 'has', 'ownKeys', 'getPrototypeOf', 'getOwnPropertyDescriptor', 'set', 'defineProperty', 'isExtensible'] as const

function revoked (target: object): object {
  const { proxy, revoke } = Proxy.revocable(target, {})
  revoke()
  return proxy
}

/** Values that make careless checks, or the message about them, throw or lie. None is right for any option. */
export const HOSTILE: readonly unknown[] = [
  new Proxy({}, Object.fromEntries(traps.map(trap => [trap, fail]))),
  revoked({}),
  revoked(() => {}),
  revoked([]),
  { get schema (): never { return fail() } },
  { toString: fail, valueOf: fail, toJSON: fail, [Symbol.toPrimitive]: fail, [Symbol.for('nodejs.util.inspect.custom')]: fail },
  { get [Symbol.toStringTag] (): never { return fail() } },
  Object.create(null, { schema: { get: fail, enumerable: true } }),
  Object.create({ schema: 'inherited', commitOnTeardown: true }),
  Object.create(Object.create(null, { schema: { value: 'inherited', enumerable: true } })),
  JSON.parse('{"__proto__":{"schema":"x"}}'),
  new Map([['schema', 'x']]), new Set(), new Date(0), new WeakMap(), /x/, new Error('x'), Promise.resolve({}), [], [{}], [true], new Uint8Array(9),
  new (class Options { schema = 'x' })(),
  // eslint-disable-next-line no-new-wrappers -- boxed primitives are what is wanted
  new Boolean(true), new Number(5), new String('write'), Object(1n), Object(Symbol('boxed')),
  class NotCallable {}, Object.freeze(class NotCallableEither {}), Map, async () => ({}), function * () {}, async function * () {},
  Symbol('true'), Symbol.iterator, 1n, Number.NaN, -0, 1.5, Infinity, -1, 2 ** 31, null, '', 'true', 'WRITE', ' auto', 'x'.repeat(1_000_000), '%s %o \u0000 \ud800'
]

/** In a box, since fast-check looks at what it hands out. */
export interface Boxed {
  readonly value: unknown
}

/** Any value, with a preference for the ones that hurt. */
export const anyValue: fc.Arbitrary<Boxed> = fc.oneof(fc.constantFrom(...HOSTILE.map(value => ({ value }))), fc.anything({
  withBigInt: true, withBoxedValues: true, withDate: true, withMap: true, withNullPrototype: true, withObjectString: true, withSet: true, withSparseArray: true, withTypedArray: true
}).map(value => ({ value })))

/** Names that no option has. */
export const strangeName: fc.Arbitrary<string | symbol> = fc.oneof(
  fc.constantFrom('__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf', '__defineGetter__', 'prototype', '', ' ', '0', 'orm ', 'commitonteardown', 'db', 'x'.repeat(100_000), '%s', '"', '\n', Symbol('readOnly'), Symbol.iterator, Symbol('')),
  fc.string({ unit: 'binary' })
)
