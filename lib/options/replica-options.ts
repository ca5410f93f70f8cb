import { isPlainObject, milliseconds, plainObject, type OptionSchema } from './validate.ts'

/** Which replicas serve. */
export interface ReplicaOptions {
  /** How far one may lag behind the primary, in milliseconds; one that lags further is left out. Default: it is not asked. */
  maxLag?: number | undefined
  /** How long one is left out before it is looked at again, in milliseconds. Default: 10 000. */
  retryAfter?: number | undefined
}

/** How a client says what it has written, so that it reads that: by a cookie, by a header, or by either. */
export interface ReadYourWritesOptions {
  /** The name of a cookie, which browsers send back by themselves. */
  cookie?: string | undefined
  /** The name of a header, which the client is to send with its next requests as it has come last. */
  header?: string | undefined
  /** What positions are signed with, at least 16 characters: the same in all processes. */
  secret: string
  /** How long a read may wait for a replica, in milliseconds, before it goes to the primary. Default: 1000. */
  maxWait?: number | undefined
}

export const RETRY_AFTER = 10_000

export const MAX_WAIT = 1_000

const REPLICA_SCHEMA: Record<keyof ReplicaOptions, OptionSchema> = { maxLag: milliseconds, retryAfter: milliseconds }

/** What the names of headers and cookies are made of. */
const NAME = /^[\w!#$%&'*+.^`|~-]+$/

const name: OptionSchema = { takes: 'a name of letters, digits and dashes', accepts: value => typeof value === 'string' && NAME.test(value) }

const READ_YOUR_WRITES_SCHEMA: Record<keyof ReadYourWritesOptions, OptionSchema> = {
  cookie: name,
  header: name,
  secret: { takes: 'at least 16 characters', accepts: value => typeof value === 'string' && value.length >= 16 },
  maxWait: milliseconds
}

export const replicas: OptionSchema = { ...plainObject, takes: '{ maxLag, retryAfter }', fields: REPLICA_SCHEMA }

export const readYourWrites: OptionSchema = {
  takes: '{ cookie, header, secret, maxWait } with a secret, and a cookie or a header',
  accepts: value => isPlainObject(value) && isComplete(value as Partial<ReadYourWritesOptions>),
  fields: READ_YOUR_WRITES_SCHEMA
}

function isComplete ({ cookie, header, secret }: Partial<ReadYourWritesOptions>): boolean {
  return secret !== undefined && (cookie ?? header) !== undefined
}
