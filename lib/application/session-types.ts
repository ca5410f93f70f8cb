import type { EntityManager } from '@mikro-orm/core'

/**
 * The sessions' type for each database, by the name that it is registered under. Augment it with your driver's:
 *
 * @example
 * declare module 'fastify-scoped-db' {
 *   interface Databases { default: SqlEntityManager }
 * }
 */
// eslint-disable-next-line @typescript-eslint/no-empty-object-type -- it is for users to fill
export interface Databases {}

/** The type of the sessions of the database registered under a name: what `Databases` says, or else MikroORM's base class. */
export type SessionOf<Name extends string> = Databases extends Record<Name, infer Session extends EntityManager> ? Session : EntityManager

/** The type of `request.db` and `db.session`. */
export type DatabaseSession = SessionOf<'default'>
