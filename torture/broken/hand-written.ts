import { EntityManager, type MikroORM } from '@mikro-orm/core'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { AsyncLocalStorage } from 'node:async_hooks'
import { localProxy } from '../../lib/local-proxy.ts'

/** How a plugin that somebody writes in an afternoon may go about it. The first way of each is right. */
export interface Ways {
  commits: 'before the answer' | 'after the answer'
  outcome: 'by status' | 'always commit'
  disposes: 'when the socket closes' | 'when it closes after the hooks' | 'in onResponse'
  afterwards: 'refuses' | 'autocommits'
  refusals: 'a list of errors' | 'any error'
  payloads: 'are let go of' | 'are forgotten'
  works: 'after the outcome' | 'at once'
}

const RIGHT_WAYS: Ways = {
  commits: 'before the answer',
  outcome: 'by status',
  disposes: 'when the socket closes',
  afterwards: 'refuses',
  refusals: 'a list of errors',
  payloads: 'are let go of',
  works: 'after the outcome'
}

/** What a database says when it has refused a COMMIT, or a statement before it: a unique constraint, a lock timeout, a deadlock. */
const REFUSALS = new Set<unknown>([undefined, 1062, 1205, 1213])

/** A request's session and its transaction. */
interface Unit {
  readonly em: EntityManager
  begun?: Promise<void>
  isOver: boolean
  /** What is done after a commit, and after a rollback. */
  readonly works: { readonly commit: (() => unknown)[], readonly rollback: (() => unknown)[] }
}

/**
 * A plugin to be caught by the torture: as much of fastify-scoped-db as its application uses, simple and without care for databases
 * that fail, but right with a healthy one, apart from the mistake that it is made with.
 */
export function handWritten (mistake: Partial<Ways>): FastifyPluginAsync<{ orm: MikroORM, name?: string }> {
  const ways = { ...RIGHT_WAYS, ...mistake }

  const plugin: FastifyPluginAsync<{ orm: MikroORM, name?: string }> = async (fastify, { orm, name }) => {
    // Of a second database it knows nothing.
    if (name !== undefined) return
    const open = new Set<Unit>()
    const units = new WeakMap<object, Unit>()
    const current = new AsyncLocalStorage<Unit>()

    function make (): Unit {
      const em = orm.em.fork()
      const unit: Unit = { em, isOver: false, works: { commit: [], rollback: [] } }
      nestInside(unit)
      open.add(unit)
      return unit
    }

    async function begin (unit: Unit): Promise<void> {
      if (!unit.isOver) await (unit.begun ??= unit.em.begin())
    }

    async function complete (unit: Unit, isGood: boolean, log?: FastifyRequest['log']): Promise<void> {
      if (unit.isOver) return
      unit.isOver = true
      await unit.begun
      if (!isGood || !unit.em.isInTransaction()) {
        await roll(unit)
        work(unit, isGood ? 'commit' : 'rollback')
        return
      }
      try {
        await unit.em.commit()
      } catch (error) {
        await roll(unit)
        if (ways.refusals === 'any error' || REFUSALS.has((error as { errno?: unknown }).errno)) {
          work(unit, 'rollback')
          throw error
        }
        log?.error({ dropped: unit.works.commit.length + unit.works.rollback.length }, 'nobody knows')
        throw Object.assign(new Error('nobody knows'), { code: 'FST_SCOPED_DB_COMMIT_UNKNOWN' })
      }
      work(unit, 'commit')
    }

    function work ({ works }: Unit, outcome: keyof Unit['works']): void {
      for (const done of works[outcome].splice(0)) done()
      works.commit.length = works.rollback.length = 0
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
        const unit = current.getStore() as Unit
        await unit.em.commit()
        work(unit, 'commit')
        await unit.em.begin()
      },
      afterCommit (done: () => unknown) {
        if (ways.works === 'at once') done()
        else current.getStore()?.works.commit.push(done)
      },
      afterRollback (done: () => unknown) { current.getStore()?.works.rollback.push(done) },
      async run (fn: (em: EntityManager) => unknown) {
        const unit = make()
        try {
          await begin(unit)
          await fn(unit.em)
          await complete(unit, true)
        } finally {
          await dispose(unit)
        }
      }
    } as never)

    // What databases say is not for clients.
    fastify.setErrorHandler(async (error: { statusCode?: number, code?: string }, _request, reply) =>
      await reply.code(error.statusCode ?? 500).send({ code: error.code, message: 'something went wrong' }))
    fastify.addHook('onRequest', (request, reply, done) => {
      const unit = make()
      units.set(request, unit)
      if (ways.disposes === 'when the socket closes') onceClosed(reply, () => { void dispose(unit) })
      current.run(unit, done)
    })
    fastify.addHook('preHandler', (request, reply, done) => {
      const unit = units.get(request) as Unit
      if (ways.disposes === 'when it closes after the hooks') onceClosed(reply, () => { void dispose(unit) })
      begin(unit).then(() => current.run(unit, done), done)
    })
    fastify.addHook('onSend', async (request, reply, payload) => {
      const unit = units.get(request)
      if (unit === undefined || ways.commits === 'after the answer') return
      try {
        await complete(unit, isGood(reply), request.log)
      } catch (error) {
        if (ways.payloads === 'are let go of') (Object(payload) as { destroy?: () => void }).destroy?.()
        throw error
      }
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

/** A savepoint that is rolled back would take with it what was added before and not yet flushed; it does take the work with it that was registered inside. */
function nestInside ({ em, works }: Unit): void {
  const { transactional } = em
  em.transactional = async (...args) => {
    await em.flush()
    const before = [works.commit.length, works.rollback.length] as const
    try {
      return await transactional.apply(em, args) as never
    } catch (error) {
      [works.commit.length, works.rollback.length] = before
      throw error
    }
  }
}

/** For replies that are streamed. */
function onlyReading (em: EntityManager): EntityManager {
  for (const method of ['create', 'insert', 'flush'] as const) {
    Object.defineProperty(em, method, { value: () => { throw new Error('this session is over') } })
  }
  return em
}
