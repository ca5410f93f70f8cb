import { db, type ScopedDbOptions } from '../../plugin.ts'
import type { Stage } from './on-each-database.ts'

const automatic = { plugin: { commitOnTeardown: true } }

/** Registers a second database of the same kind. */
export const addSecond = async ({ addDatabase }: Stage, options: Omit<ScopedDbOptions, 'orm'> = automatic.plugin) => await addDatabase('analytics', options)

/** The second database, and its session in the scope of the caller. */
export const analytics = db.use('analytics')
export const session = analytics.session
