import { EntityManager, type MikroORM } from '@mikro-orm/core'
import type { FastifyPluginAsync, FastifyReply } from 'fastify'
import fp from 'fastify-plugin'
import { AsyncLocalStorage } from 'node:async_hooks'
import { localProxy } from '../../lib/local-proxy.ts'

/** How a plugin that somebody writes in an afternoon may go about it. The first way of each is right. */
export interface Ways {
  commits: 'before the answer' | 'after the answer'
  outcome: 'by status' | 'always commit'
  disposes: 'when the socket closes' | 'in onResponse'
  afterwards: 'refuses' | 'autocommits'
}

const RIGHT_WAYS: Ways = { commits: 'before the answer', outcome: 'by status', disposes: 'when the socket closes', afterwards: 'refuses' }

/** A request's session and its transaction. */
interface Unit {
  readonly em: EntityManager
  isOver: boolean
}

/**
 * A plugin to be caught by the torture: as much of fastify-scoped-db as its application uses, simple and without care for databases
 * that fail, but right with a healthy one, apart from the mistake that it is made with.
 */
export function handWritten (mistake: Partial<Ways>): FastifyPluginAsync<{ orm: MikroORM }> {
  const ways = { ...RIGHT_WAYS, ...mistake }

  const plugin: FastifyPluginAsync<{ orm: MikroORM }> = async (fastify, { orm }) => {
    const open = new Set<Unit>()
    const units = new WeakMap<object, Unit>()
    const current = new AsyncLocalStorage<Unit>()

    async function begin (): Promise<Unit> {
      const unit = { em: flushBeforeNesting(orm.em.fork()), isOver: false }
      open.add(unit)
      await unit.em.begin()
      return unit
    }

    async function complete (unit: Unit, isGood: boolean): Promise<void> {
      if (unit.isOver) return
      unit.isOver = true
      if (isGood) await unit.em.commit().catch(async error => { await roll(unit); throw error })
      else await roll(unit)
    }

    async function roll ({ em }: Unit): Promise<void> {
      if (em.isInTransaction()) await em.rollback()
      em.clear()
    }

    async function dispose (unit: Unit): Promise<void> {
      await complete(unit, false)
      open.delete(unit)
    }

    function sessionOf (unit: Unit | undefined): EntityManager {
      if (unit === undefined) throw new Error('there is no session')
      return unit.isOver && ways.afterwards === 'refuses' ? onlyReading(orm.em.fork()) : unit.em
    }

    const isGood = (reply: FastifyReply) => ways.outcome === 'always commit' || reply.statusCode < 400

    fastify.decorateRequest('db', { getter () { return sessionOf(units.get(this)) as never } })
    fastify.decorate('db', {
      session: localProxy(() => EntityManager.prototype, () => sessionOf(current.getStore())),
      get openScopes () { return open.size },
      async commit () {
        const { em } = current.getStore() as Unit
        await em.commit()
        await em.begin()
      },
      async run (work: (em: EntityManager) => unknown) {
        const unit = await begin()
        try {
          await work(unit.em)
          await complete(unit, true)
        } finally {
          await dispose(unit)
        }
      }
    } as never)

    // What databases say is not for clients.
    fastify.setErrorHandler(async (error: { statusCode?: number, code?: string }, _request, reply) =>
      await reply.code(error.statusCode ?? 500).send({ code: error.code, message: 'something went wrong' }))
    fastify.addHook('preHandler', (request, reply, done) => {
      void begin().then(unit => {
        units.set(request, unit)
        if (ways.disposes === 'when the socket closes') onceClosed(reply, () => { void dispose(unit) })
        current.run(unit, done)
      }, done)
    })
    fastify.addHook('onSend', async (request, reply) => {
      const unit = units.get(request)
      if (unit !== undefined && ways.commits === 'before the answer') await complete(unit, isGood(reply))
    })
    fastify.addHook('onResponse', async (request, reply) => {
      const unit = units.get(request)
      if (unit === undefined) return
      if (ways.commits === 'after the answer') await complete(unit, isGood(reply))
      await dispose(unit)
    })
  }
  return fp(plugin)
}

/** The client may have gone while the transaction was begun. */
function onceClosed ({ raw }: FastifyReply, then: () => void): void {
  if (raw.destroyed) then()
  else raw.once('close', then)
}

/** A savepoint that is rolled back would take with it what was added before and not yet flushed. */
function flushBeforeNesting (em: EntityManager): EntityManager {
  const { transactional } = em
  em.transactional = async (...args) => {
    await em.flush()
    return await transactional.apply(em, args) as never
  }
  return em
}

/** For replies that are streamed. */
function onlyReading (em: EntityManager): EntityManager {
  for (const method of ['create', 'insert', 'flush'] as const) {
    Object.defineProperty(em, method, { value: () => { throw new Error('this session is over') } })
  }
  return em
}
