import { MikroORM } from '@mikro-orm/core'
import { loadConfigFile } from './config-file.ts'
import { isPlainObject, show } from '../options/validate.ts'
import { isDatabaseError } from './database-error.ts'
import { InvalidOptionError } from '../errors/errors.ts'
import { ORM_TAKES, type ScopedDbOptions } from '../options/options.ts'
import { prepareConnection } from '../transaction/sql-connection.ts'

export interface OpenOrm {
  readonly orm: MikroORM
  /** An instance is its owner's to close: nothing happens to it. */
  close (): Promise<void>
}

/**
 * The MikroORM to work with, ready for a transaction as its first statement.
 * @throws InvalidOptionError for what is neither a MikroORM nor options for one
 */
export async function openOrm (given: ScopedDbOptions['orm']): Promise<OpenOrm> {
  if (given === undefined) return await prepared(await MikroORM.init(await loadConfigFile()), true)
  const isOpen = given instanceof MikroORM
  if (!isOpen && !isPlainObject(given)) throw new InvalidOptionError('the option "orm"', ORM_TAKES, show(given))
  try {
    return await prepared(isOpen ? given : await MikroORM.init(given), !isOpen)
  } catch (cause) {
    if (isDatabaseError(cause)) throw cause
    throw unusable(cause)
  }
}

async function prepared (orm: MikroORM, isOurs: boolean): Promise<OpenOrm> {
  await prepareConnection(orm.driver.getConnection('write'))
  return { orm, close: async () => { if (isOurs) await orm.close() } }
}

/** MikroORM says what is wrong with its options, or a TypeError does, but neither says where they were given. */
function unusable (cause: unknown): Error {
  const why = cause instanceof Error ? cause.message : String(cause)
  return Object.assign(new InvalidOptionError('the option "orm"', ORM_TAKES, `one that MikroORM cannot work with: ${why}`), { cause })
}
