import type { EntityManager, EntityName, FilterQuery, Loaded } from '@mikro-orm/core'
import { firstOr404, getOr404, oneOr404, type GetOptions, type LookUpOptions } from './or-404.ts'
import { paginateByCursor, type CursorOptions, type CursorPage, type CursorQuery } from './cursor-pagination.ts'
import { paginate, type PageQuery, type PaginateOptions, type Pagination, type TotalOf } from './pagination.ts'
import type { LookUpId } from './primary-key.ts'

/**
 * Look-ups with the current session, whose failures are answers for a client: 404 and 400. Outside any scope each of them throws
 * FST_SCOPED_DB_NO_SCOPE.
 */
export abstract class LookUps {
  /** @internal */
  protected abstract currentSession (): EntityManager

  /**
   * Finds an entity by its primary key. Text from a URL will do for a number, a bigint or a date; what cannot be a key at
   * all is not found either, and nothing is asked of the database then.
   * @param id the parts of a composite key are in an array, in the order of the entity's, or in an object by their names
   * @throws FST_SCOPED_DB_NOT_FOUND a 404
   *
   * @example
   * app.get('/users/:id', async request => await db.getOr404(User, request.params.id))
   */
  async getOr404<Entity extends object, Hint extends string = never, Fields extends string = never, Excludes extends string = never> (
    entity: EntityName<Entity>, id: LookUpId<NoInfer<Entity>>, options: GetOptions<Entity, Hint, Fields, Excludes> = {}
  ): Promise<Loaded<Entity, Hint, Fields, Excludes>> {
    return await getOr404(this.currentSession(), entity, id, options)
  }

  /**
   * Finds the first entity that fits, by `orderBy` and then by its primary key.
   * @throws FST_SCOPED_DB_NOT_FOUND a 404, if there is none
   */
  async firstOr404<Entity extends object, Hint extends string = never, Fields extends string = never, Excludes extends string = never> (
    entity: EntityName<Entity>, where: FilterQuery<NoInfer<Entity>>, options: LookUpOptions<Entity, Hint, Fields, Excludes> = {}
  ): Promise<Loaded<Entity, Hint, Fields, Excludes>> {
    return await firstOr404(this.currentSession(), entity, where, options)
  }

  /**
   * Finds the only entity that fits.
   * @throws FST_SCOPED_DB_NOT_FOUND a 404, if there is none, or more than one
   */
  async oneOr404<Entity extends object, Hint extends string = never, Fields extends string = never, Excludes extends string = never> (
    entity: EntityName<Entity>, where: FilterQuery<NoInfer<Entity>>, options: LookUpOptions<Entity, Hint, Fields, Excludes> = {}
  ): Promise<Loaded<Entity, Hint, Fields, Excludes>> {
    return await oneOr404(this.currentSession(), entity, where, options)
  }

  /**
   * Finds one page of a list, with one statement or two: it counts only where that tells something.
   * @param query what a client has sent: only `page` and `perPage` of it are read
   * @param options yours alone: parts of them go into the statement as they are
   * @throws FST_SCOPED_DB_NOT_FOUND a 404, if there is no such page, other than the first
   * @throws FST_SCOPED_DB_INVALID_PAGE a 400, if `page` or `perPage` is malformed
   *
   * @example
   * app.get('/users', async request => await db.paginate(User, {}, request.query, { orderBy: { name: 'asc' } }))
   */
  async paginate<
    Entity extends object, Hint extends string = never, Fields extends string = never, Excludes extends string = never, Count extends boolean = true
  > (
    entity: EntityName<Entity>, where: FilterQuery<NoInfer<Entity>>, query: PageQuery = {}, options: PaginateOptions<Entity, Hint, Fields, Excludes, Count> = {}
  ): Promise<Pagination<Loaded<Entity, Hint, Fields, Excludes>, TotalOf<Count>>> {
    return await paginate(this.currentSession(), entity, where, query, options)
  }

  /**
   * Finds what comes behind, or ahead of, a place in a list, however long the list is (keyset pagination, by MikroORM's
   * `em.findByCursor()`).
   * @param query what a client has sent: only `first`, `last`, `after` and `before` of it are read
   * @param options yours alone: parts of them go into the statement as they are
   * @throws FST_SCOPED_DB_INVALID_CURSOR a 400, if `after` or `before` does not come from this list
   * @throws FST_SCOPED_DB_INVALID_PAGE a 400, if `first` or `last` is malformed, or both are given
   *
   * @example
   * app.get('/users', async request => await db.paginateByCursor(User, {}, request.query, { orderBy: { name: 'asc' } }))
   */
  async paginateByCursor<
    Entity extends object, Hint extends string = never, Fields extends string = never, Excludes extends string = never, Count extends boolean = false
  > (
    entity: EntityName<Entity>, where: FilterQuery<NoInfer<Entity>>, query: CursorQuery = {}, options: CursorOptions<Entity, Hint, Fields, Excludes, Count> = {}
  ): Promise<CursorPage<Loaded<Entity, Hint, Fields, Excludes>, TotalOf<Count>>> {
    return await paginateByCursor(this.currentSession(), entity, where, query, options)
  }
}
