import type { Options } from '@mikro-orm/core'
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ConfigFileError, OrmNotFoundError } from '../errors/errors.ts'

const ENDINGS = ['ts', 'mts', 'js', 'mjs']

/**
 * Loads MikroORM's options from the file that its CLI would use: `MIKRO_ORM_CLI_CONFIG`, else `mikro-orm.config.*` in
 * the working directory or in its `src/`. The file's default export is the options, or a function that gives them.
 *
 * @throws OrmNotFoundError naming the places looked at, when there is no such file
 * @throws ConfigFileError when the file cannot be loaded or exports no options
 */
export async function loadConfigFile (): Promise<Options> {
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
