import { ValidationError } from '@mikro-orm/core'
import { causesOf } from '../errors/causes.ts'

/** What MikroORM begins its messages with, of which it makes no classes, when it sends a value to no database. */
const BEGINNINGS = [
  ['Value for ', 'not null'],
  ['Trying to set ', 'invalid value'],
  ['Could not convert ', 'invalid value']
] as const

/** What is wrong with a value that MikroORM has not sent. */
export function kindOfRejected (error: Error): 'not null' | 'invalid value' | undefined {
  // Other errors of MikroORM are of classes that are made from that.
  const isOfClass = Object.getPrototypeOf(error) === ValidationError.prototype
  return isOfClass ? BEGINNINGS.find(([beginning]) => error.message.startsWith(beginning))?.[1] : undefined
}

/** It goes on with the whole entity, and those that it refers to: hidden properties, too. */
const ENTITY = /\nentity: [^]*/

/** The message of an error without the values of an entity that it, or one of its causes, tells of. Undefined where there are none. */
export function withoutEntity (error: unknown): string | undefined {
  const told = [...causesOf(error)].filter(cause => cause instanceof ValidationError).map(({ message }) => ENTITY.exec(message)?.[0])
  const found = told.find(entity => entity !== undefined && (error as Error).message.includes(entity))
  return found === undefined ? undefined : (error as Error).message.replace(found, () => '')
}
