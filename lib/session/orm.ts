import { MikroORM, type Options } from '@mikro-orm/core'
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ConfigFileError, InvalidOptionError, OrmNotFoundError } from '../errors/errors.ts'
import { ORM_TAKES, type ScopedDbOptions } from '../options/options.ts'
import { isPlainObject, show } from '../options/validate.ts'
import { prepareConnections } from './connections.ts'
import { isDatabaseError } from './database-error.ts'
import { foreignness } from './foreign-orm.ts'

interface OpenOrm {
  readonly orm: MikroORM
  /** Whether a hook of its pool that throws costs a place there: it was too late to do something about that. */
  readonly hasEarlyHooks: boolean
  /** An instance is its owner's to close: nothing happens to it. */
  close (): Promise<void>
}

/**
 * The MikroORM to work with, ready for a transaction as its first statement.
 * @throws InvalidOptionError for what is neither a MikroORM nor options for one
 */
export async function openOrm (given: ScopedDbOptions['orm']): Promise<OpenOrm> {
  if (given === undefined) return await prepared(await MikroORM.init(await loadConfigFile()), true)
  const isOpen = isOrm(given)
  const foreign = isOpen ? undefined : foreignness(given)
  if (foreign !== undefined) throw new InvalidOptionError('the option "orm"', ORM_TAKES, foreign)
  if (!isOpen && !isPlainObject(given)) throw new InvalidOptionError('the option "orm"', ORM_TAKES, show(given))
  try {
    return await prepared(isOpen ? given : await MikroORM.init(given as Options), !isOpen)
  } catch (cause) {
    if (isDatabaseError(cause)) throw cause
    throw unusable(cause)
  }
}

/** Whatever it is: a proxy can throw at the question. */
function isOrm (given: object): given is MikroORM {
  try {
    return given instanceof MikroORM
  } catch {
    return false
  }
}

async function prepared (orm: MikroORM, isOurs: boolean): Promise<OpenOrm> {
  const { hasEarlyHooks } = await prepareConnections(orm)
  return { orm, hasEarlyHooks, close: async () => { if (isOurs) await orm.close() } }
}

/** MikroORM says what is wrong with its options, or a TypeError does, but neither says where they were given. */
function unusable (cause: unknown): Error {
  const why = cause instanceof Error ? cause.message : String(cause)
  return Object.assign(new InvalidOptionError('the option "orm"', ORM_TAKES, `one that MikroORM cannot work with: ${why}`), { cause })
}

const ENDINGS = ['ts', 'mts', 'js', 'mjs']

/**
 * Loads MikroORM's options from the file that its CLI would use: `MIKRO_ORM_CLI_CONFIG`, else `mikro-orm.config.*` in
 * the working directory or in its `src/`. The file's default export is the options, or a function that gives them.
 *
 * @throws OrmNotFoundError naming the places looked at, when there is no such file
 * @throws ConfigFileError when the file cannot be loaded or exports no options
 */
async function loadConfigFile (): Promise<Options> {
  const places = candidates()
  const file = places.find(place => existsSync(place))
  if (file === undefined) throw new OrmNotFoundError(places.join(', '))
  const options = await exportOf(file)
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new ConfigFileError(file, 'its default export is not MikroORM options')
  }
  return options as Options
}

function candidates (): string[] {
  const named = process.env['MIKRO_ORM_CLI_CONFIG']
  if (named !== undefined && named !== '') return [resolve(named)]
  return ['.', 'src'].flatMap(folder => ENDINGS.map(ending => resolve(folder, `mikro-orm.config.${ending}`)))
}

async function exportOf (file: string): Promise<unknown> {
  try {
    const module = await import(pathToFileURL(file).href) as { default?: unknown }
    const exported = module.default
    return typeof exported === 'function' ? await exported() : await exported
  } catch (cause) {
    throw Object.assign(new ConfigFileError(file, cause instanceof Error ? cause.message : String(cause)), { cause })
  }
}
