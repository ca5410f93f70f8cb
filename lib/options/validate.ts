import { closest, distance } from 'fastest-levenshtein'
import { inspect, types } from 'node:util'
import { InvalidOptionError, UnknownOptionError } from '../errors/errors.ts'

/** What an option takes. */
export interface OptionSchema {
  /** In words, for the error. */
  readonly takes: string
  readonly accepts: (value: unknown) => boolean
  /** What an object that is accepted can hold, where that is to be checked too. */
  readonly fields?: Record<string, OptionSchema>
}

/** Where options stand, for the error. */
export interface OptionPath {
  /** What to call all of them. */
  readonly whole: string
  /** What else than an object can stand there. */
  readonly or?: string
  /** What follows the name of one of them. */
  readonly suffix?: string
  /** What is there for somebody else. */
  readonly ignored?: readonly string[]
}

/**
 * Checks what a user has given as options and copies them, so that what was checked cannot become something else later.
 * Never trusts the object: it may be a proxy, and its properties getters that throw. Leaves out what is undefined.
 *
 * @throws InvalidOptionError, UnknownOptionError naming the option and what it takes
 */
export function readOptions (given: unknown, schema: Record<string, OptionSchema>, path: OptionPath, prefix = ''): Record<string, unknown> {
  const { whole, or, suffix = '', ignored = [] } = path
  const keys = isPlainObject(given) ? keysOf(given) : undefined
  if (keys === undefined) throw new InvalidOptionError(whole, `${or === undefined ? '' : `${or} or `}a plain object`, show(given))
  const read: Record<string, unknown> = {}
  for (const key of keys) {
    if (ignored.includes(key as string)) continue
    const name = `"${prefix}${shorten(JSON.stringify(String(key)).slice(1, -1))}"${suffix}`
    const option = typeof key === 'string' && Object.hasOwn(schema, key) ? schema[key] : undefined
    if (option === undefined) throw new UnknownOptionError(name + suggestion(String(key), Object.keys(schema)), Object.keys(schema).join(', '))
    const value = readValue(given as Record<string, unknown>, key as string, option, name)
    if (value === undefined) continue
    const { fields } = option
    read[key as string] = fields !== undefined && typeof value === 'object' ? readOptions(value, fields, { whole: `the option ${name}`, suffix }, `${prefix}${String(key)}.`) : value
  }
  return read
}

/** The option that was probably meant, if one is near, whatever the spelling makes of upper case and of what stands between words. */
function suggestion (given: string, known: string[]): string {
  const plain = (name: string) => name.toLowerCase().replaceAll(/[^a-z]/g, '')
  const name = plain(shorten(given))
  const nearest = closest(name, known.map(plain))
  const meant = known.find(option => plain(option) === nearest)
  return meant !== undefined && distance(name, nearest) <= meant.length / 4 ? ` (did you mean "${meant}"?)` : ''
}

function readValue (given: Record<string, unknown>, key: string, { takes, accepts }: OptionSchema, name: string): unknown {
  const value = attempt(() => ({ of: given[key] }))
  if (value === undefined) throw new InvalidOptionError(`the option ${name}`, takes, 'an error when it was read')
  if (value.of !== undefined && attempt(() => accepts(value.of)) !== true) throw new InvalidOptionError(`the option ${name}`, takes, show(value.of))
  return value.of
}

/** A value in a few words, whatever it is. */
export function show (value: unknown): string {
  const shown = attempt(() => inspect(value, { depth: 0, breakLength: Infinity, customInspect: false, maxArrayLength: 3, maxStringLength: LONGEST }))
  return shorten(shown ?? `a ${typeof value} that cannot be shown`)
}

const LONGEST = 100

function shorten (text: string): string {
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}...` : text
}

/** @throws InvalidOptionError for what cannot be called */
export function assertFunction (value: unknown, where: string): void {
  if (typeof value !== 'function') throw new InvalidOptionError(where, 'a function', show(value))
}

export const boolean: OptionSchema = { takes: 'true or false', accepts: value => typeof value === 'boolean' }

export const milliseconds: OptionSchema = {
  takes: 'a number of milliseconds from 1 to 2147483647',
  accepts: value => Number.isInteger(value) && Number(value) >= 1 && Number(value) <= 2147483647
}

export const plainObject: OptionSchema = { takes: 'a plain object', accepts: isPlainObject }

export function oneOf (...values: string[]): OptionSchema {
  return { takes: values.map(value => `'${value}'`).join(', '), accepts: value => values.includes(value as string) }
}

/** The same, or a function, which has to answer at once. */
export function orFunction (schema: OptionSchema, signature: string): OptionSchema {
  return { ...schema, takes: `${schema.takes}, or a function ${signature} that is not async`, accepts: value => isPlainFunction(value) || schema.accepts(value) }
}

export function onlyFunction (signature: string): OptionSchema {
  return { takes: `a function ${signature} that is not async`, accepts: isPlainFunction }
}

/** Whether nothing of an object is hidden in a prototype or in a class's private state, where it would be ignored. */
export function isPlainObject (value: unknown): boolean {
  return typeof value === 'object' && value !== null && attempt(() => !Array.isArray(value) && isPlainPrototype(Object.getPrototypeOf(value))) === true
}

/** The `Object` of another realm (node:vm, a test runner) is as good as this one's. */
function isPlainPrototype (prototype: object | null): boolean {
  return prototype === null || (Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, 'isPrototypeOf'))
}

/** Whether a function can be called, and answers with what it returns. */
function isPlainFunction (value: unknown): boolean {
  return typeof value === 'function' && !types.isAsyncFunction(value) && !types.isGeneratorFunction(value) && !isClass(value)
}

/** A class's `prototype` is fixed, but so is that of any function that was frozen. */
function isClass (value: object): boolean {
  return Object.getOwnPropertyDescriptor(value, 'prototype')?.writable === false &&
    (!Object.isFrozen(value) || Function.prototype.toString.call(value).startsWith('class'))
}

function keysOf (value: unknown): (string | symbol)[] | undefined {
  return attempt(() => Reflect.ownKeys(value as object))
}

function attempt<T> (run: () => T): T | undefined {
  try {
    return run()
  } catch {
    return undefined
  }
}
