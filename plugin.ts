import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { Database, type DatabaseSession } from './lib/database.ts'
import { addDatabase, removeDatabase } from './lib/databases.ts'
import { AlreadyRegisteredError, NoScopeError, OneDatabaseError } from './lib/errors.ts'
import { addLifecycle, unitOf } from './lib/lifecycle.ts'
import { openOrm } from './lib/open-orm.ts'
import { settingsOf, type RouteOptions, type ScopedDbOptions } from './lib/options.ts'
import { resolveToScopes } from './lib/orm-context.ts'
import { within } from './lib/within.ts'

export { db } from './lib/databases.ts'
export type { Database, Databases, DatabaseSession, OpenScope } from './lib/database.ts'
export type { CommitRule, RouteOptions, RunOptions, ScopedDbOptions, SessionOptions } from './lib/options.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The database registered here. */
    db: Database
  }

  interface FastifyRequest {
    /** This request's session: the driver's EntityManager, made on first use. */
    readonly db: DatabaseSession
  }

  interface FastifyContextConfig {
    /** Overrides the plugin's options for this route; `false` opens no scope for it. */
    db?: RouteOptions | false
  }
}

const scopedDb: FastifyPluginAsync<ScopedDbOptions> = async (fastify, options) => {
  const settings = settingsOf(options)
  refuseSecond(fastify, settings.name)

  const { orm, close } = await openOrm(settings.orm)
  const database = new Database(orm, settings, fastify.log)
  // Fastify waits for the requests in flight before it calls onClose, and they may wait for the database.
  fastify.addHook('preClose', async function limitClosing () {
    database.startClosing()
  })
  fastify.addHook('onClose', async function closeScopedDb () {
    await database.close()
    removeDatabase(database)
    const isClosed = await within(settings.closeTimeout, close())
    if (!isClosed) fastify.log.error({ closeTimeout: settings.closeTimeout }, 'the ORM was not closed within closeTimeout: a connection of it does not answer')
  })

  fastify.decorate('db', database)
  fastify.decorateRequest('db', {
    getter (this) {
      const unit = unitOf(this)
      if (unit === null) throw new NoScopeError()
      return unit.scope.session as DatabaseSession
    }
  })
  addLifecycle(fastify, database, settings.rules)

  // Last, so that a registration that fails leaves nothing behind.
  resolveToScopes(orm)
  addDatabase(database)
}

function refuseSecond (fastify: FastifyInstance, name: string): void {
  // Another plugin's decorator is Fastify's to refuse.
  const other: unknown = fastify.hasDecorator('db') ? fastify.db : undefined
  if (!(other instanceof Database)) return
  throw other.name === name ? new AlreadyRegisteredError(name) : new OneDatabaseError(name, other.name)
}

/** Request-scoped database sessions for MikroORM. See the README. */
export default fp(scopedDb, {
  fastify: '5.x',
  name: 'fastify-scoped-db'
})
