import type { EntityManager, EventSubscriber, FlushEventArgs, MikroORM } from '@mikro-orm/core'
import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { AsyncLocalStorage } from 'node:async_hooks'
import type { SqlORM } from '../../test/support/databases.ts'

/** What such a plugin may get wrong. */
export type Mistake = 'drops what was created last' | 'commits whatever the status' | 'leaves scopes open' | 'writes after the answer' | 'takes changes of titles back'

/** A request's session. */
interface Unit {
  readonly em: EntityManager
  isDoomed: boolean
}

/**
 * A plugin to be caught by the judges: as much of fastify-scoped-db as sequential programs without `em.transactional()` use, written
 * as simply as possible and right, apart from the mistake that it is made with.
 */
export function simple (mistake?: Mistake): FastifyPluginAsync<{ orm: MikroORM, sessionOptions: () => object }> {
  const plugin: FastifyPluginAsync<{ orm: MikroORM, sessionOptions: () => object }> = async (fastify, { orm, sessionOptions }) => {
    const current = new AsyncLocalStorage<Unit>()
    const open = new Set<Unit>()
    const unit = () => current.getStore() as Unit
    if (mistake !== undefined) orm.em.getEventManager().registerSubscriber(mistaken(mistake))

    fastify.decorateRequest('db', { getter: () => unit().em as never })
    fastify.decorate('db', {
      orm: { get em () { return unit().em } },
      get session () { return unit().em },
      get openScopes () { return open.size },
      setRollbackOnly () { unit().isDoomed = true },
      async commit () {
        const { em, isDoomed } = unit()
        if (isDoomed) throw new Error('it can only roll back')
        await em.commit()
        await em.begin()
      },
      async rollback () {
        const { em } = unit()
        await em.rollback()
        em.clear()
        await em.begin()
      }
    } as never)

    fastify.addHook('onRequest', (_request, _reply, done) => {
      const unit = { em: orm.em.fork(sessionOptions()), isDoomed: false }
      open.add(unit)
      void unit.em.begin().then(() => { current.run(unit, done) }, done)
    })
    fastify.addHook('preSerialization', async (_request, reply) => {
      if (reply.statusCode < 400) await unit().em.flush()
    })
    fastify.addHook('onSend', async (_request, reply) => {
      const { em, isDoomed } = unit()
      const isGood = !isDoomed && (reply.statusCode < 400 || mistake === 'commits whatever the status')
      if (!em.isInTransaction()) return
      if (isGood) await em.commit().catch(async (error: unknown) => { await em.rollback(); throw error })
      else await em.rollback()
    })
    fastify.addHook('onResponse', async () => {
      if (mistake !== 'leaves scopes open') open.delete(unit())
      if (mistake === 'writes after the answer') await (orm as SqlORM).em.fork().execute("update label set title = 'late'")
    })
  }
  return fp(plugin, { name: 'simple' })
}

function mistaken (mistake: Mistake): EventSubscriber {
  switch (mistake) {
    case 'drops what was created last':
      return { async beforeFlush ({ uow }: FlushEventArgs) { uow.getPersistStack().delete(Array.from(uow.getPersistStack()).at(-1) as never) } }
    case 'takes changes of titles back':
      // In memory as well, so that only another implementation can tell.
      return {
        async beforeFlush ({ uow }: FlushEventArgs) {
          for (const entity of uow.getIdentityMap() as Iterable<{ title: string }>) {
            const { title } = uow.getOriginalEntityData(entity) as { title?: string }
            if (title !== undefined) entity.title = title
          }
        }
      }
    default:
      return {}
  }
}
