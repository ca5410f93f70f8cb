import type { EntityManager, EntityName, FilterQuery, FindOneOptions, FindOptions, Loaded } from '@mikro-orm/core'
import { NotFoundError } from '../errors/errors.ts'
import { errorKind } from '../session/error-kind.ts'
import { completeOrder, primaryKeyIs, type LookUpId } from './primary-key.ts'

/** Options of `db.getOr404()`: those of `em.findOne()`, and what the 404 says. */
export interface GetOptions<Entity, Hint extends string = never, Fields extends string = never, Excludes extends string = never>
  extends FindOneOptions<Entity, Hint, Fields, Excludes> {
  /** The message of the 404. Default: that this entity was not found. */
  description?: string | undefined
}

/** Options of `db.firstOr404()` and `db.oneOr404()`: those of `em.find()`, and what the 404 says. */
export interface LookUpOptions<Entity, Hint extends string = never, Fields extends string = never, Excludes extends string = never>
  extends Omit<FindOptions<Entity, Hint, Fields, Excludes>, 'limit' | 'offset' | 'before' | 'after' | 'first' | 'last' | 'overfetch'> {
  /** The message of the 404. Default: that this entity was not found. */
  description?: string | undefined
}

/** See {@link Database.getOr404}. */
export async function getOr404<Entity extends object, Hint extends string, Fields extends string, Excludes extends string> (
  em: EntityManager, entity: EntityName<Entity>, id: LookUpId<Entity>, options: GetOptions<Entity, Hint, Fields, Excludes>
): Promise<Loaded<Entity, Hint, Fields, Excludes>> {
  const { description, ...findOptions } = options
  const where = primaryKeyIs(em.getMetadata(entity), id) as FilterQuery<NoInfer<Entity>> | undefined
  const found = where === undefined ? null : await em.findOne<Entity, Hint, Fields, Excludes>(entity, where, findOptions as object).catch(nullIfInvalid)
  return found ?? notFound(em, entity, description)
}

/** See {@link Database.firstOr404}. */
export async function firstOr404<Entity extends object, Hint extends string, Fields extends string, Excludes extends string> (
  em: EntityManager, entity: EntityName<Entity>, where: FilterQuery<NoInfer<Entity>>, options: LookUpOptions<Entity, Hint, Fields, Excludes>
): Promise<Loaded<Entity, Hint, Fields, Excludes>> {
  const [first] = await find(em, entity, where, options, 1)
  return first ?? notFound(em, entity, options.description)
}

/** See {@link Database.oneOr404}. */
export async function oneOr404<Entity extends object, Hint extends string, Fields extends string, Excludes extends string> (
  em: EntityManager, entity: EntityName<Entity>, where: FilterQuery<NoInfer<Entity>>, options: LookUpOptions<Entity, Hint, Fields, Excludes>
): Promise<Loaded<Entity, Hint, Fields, Excludes>> {
  const [one, ...others] = await find(em, entity, where, options, 2)
  return one !== undefined && others.length === 0 ? one : notFound(em, entity, options.description)
}

async function find<Entity extends object, Hint extends string, Fields extends string, Excludes extends string> (
  em: EntityManager, entity: EntityName<Entity>, where: FilterQuery<NoInfer<Entity>>,
  options: LookUpOptions<Entity, Hint, Fields, Excludes>, limit: number
): Promise<Loaded<Entity, Hint, Fields, Excludes>[]> {
  const { description, ...findOptions } = options
  const orderBy = completeOrder(em.getMetadata(entity), options.orderBy)
  return await em.find<Entity, Hint, Fields, Excludes>(entity, where, { ...findOptions, orderBy, limit } as object)
}

/** What a column's type cannot be is not there. Only the database knows what a type can be that MikroORM does not know. */
function nullIfInvalid (error: unknown): null {
  if (errorKind(error) === 'invalid value') return null
  throw error
}

function notFound (em: EntityManager, entity: EntityName, description = `${em.getMetadata(entity).className} not found`): never {
  throw new NotFoundError(description)
}
