import type { FastifyRequest } from 'fastify'
import { milliseconds, onlyFunction, readOptions, type OptionSchema } from './validate.ts'

/** What `register(inspector)` takes. */
export interface InspectorOptions {
  /** Where the page is: Fastify's own option. Default: `'/_db'`. */
  prefix?: string
  /** Who may see it, in the place of the rule: only this machine, and never where `NODE_ENV` is `production`. */
  allow?: ((request: FastifyRequest) => boolean) | undefined
  /** How many requests and runs are kept. Default: 200. */
  requests?: number | undefined
  /** How many bytes all that is kept may take, more or less. Default: 10 000 000. */
  bytes?: number | undefined
  /** From how many milliseconds on a statement is marked as slow. Default: 100. */
  slowerThan?: number | undefined
}

/** `InspectorOptions` with every default in its place. */
export interface InspectorSettings extends Pick<InspectorOptions, 'allow'> {
  prefix: string
  requests: number
  bytes: number
  slowerThan: number
}

const count: OptionSchema = { takes: 'a number from 1', accepts: value => Number.isInteger(value) && Number(value) >= 1 }

const SCHEMA: Record<keyof InspectorOptions, OptionSchema> = {
  prefix: { takes: 'a path that begins with a slash', accepts: value => typeof value === 'string' && value.startsWith('/') },
  allow: onlyFunction('(request) => boolean'),
  requests: count,
  bytes: count,
  slowerThan: milliseconds
}

const DEFAULTS: InspectorSettings = { prefix: '/_db', requests: 200, bytes: 10_000_000, slowerThan: 100 }

/** Checks what `register(inspector)` was given and fills in the defaults. */
export function inspectorSettings (options: unknown): InspectorSettings {
  return { ...DEFAULTS, ...readOptions(options, SCHEMA, { whole: 'register(inspector)', ignored: ['logLevel', 'logSerializers'] }) }
}
