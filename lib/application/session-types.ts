import type { EntityManager } from '@mikro-orm/core'

/**
 * Each database by the name that it is registered under, as the type of its MikroORM or of its sessions. Augment it with yours:
 *
 * @example
 * export const orm = await MikroORM.init({ entities: [User], clientUrl })
 *
 * declare module 'fastify-scoped-db' {
 *   interface Databases { default: typeof orm }
 * }
 */
// eslint-disable-next-line @typescript-eslint/no-empty-object-type -- it is for users to fill
export interface Databases {}

/** The type of the sessions of the database registered under a name: what `Databases` says, or else MikroORM's base class. */
export type SessionOf<Name extends string> = Databases extends Record<Name, infer Said> ? EntityManagerOf<Said> : EntityManager

type EntityManagerOf<Said> = Said extends EntityManager ? Said : Said extends { em: infer Session extends EntityManager } ? Session : EntityManager

/** The type of `request.db` and `db.session`. */
export type DatabaseSession = SessionOf<'default'>
