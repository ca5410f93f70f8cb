import { MikroORM } from '@mikro-orm/core'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { loadConfigFile } from './lib/config-file.ts'
import { Database, type DatabaseSession } from './lib/database.ts'
import { addDatabase, removeDatabase } from './lib/databases.ts'
import { AlreadyRegisteredError, NoScopeError, OneDatabaseError } from './lib/errors.ts'
import { addLifecycle, unitOf } from './lib/lifecycle.ts'
import { settingsOf, type RouteOptions, type ScopedDbOptions, type Settings } from './lib/options.ts'
import { resolveToScopes } from './lib/orm-context.ts'
import { prepareConnection } from './lib/transaction/connection.ts'
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

  const { orm, close } = await openOrm(settings)
  const database = new Database(orm, settings, fastify.log)
  resolveToScopes(orm)
  addDatabase(database)

  fastify.decorate('db', database)
  fastify.decorateRequest('db', {
    getter (this) {
      const unit = unitOf(this)
      if (unit === null) throw new NoScopeError()
      return unit.scope.session as DatabaseSession
    }
  })
  addLifecycle(fastify, database, settings.rules)

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
}

function refuseSecond (fastify: FastifyInstance, name: string): void {
  if (!fastify.hasDecorator('db')) return
  const other = fastify.db.name
  throw other === name ? new AlreadyRegisteredError(name) : new OneDatabaseError(name, other)
}

/** The MikroORM to work with, ready for a transaction as its first statement, and how to close it: an instance is its owner's to close. */
async function openOrm ({ orm: given }: Settings): Promise<{ orm: MikroORM, close: () => Promise<void> }> {
  const orm = given instanceof MikroORM ? given : await MikroORM.init(given ?? await loadConfigFile())
  await prepareConnection(orm.driver.getConnection('write'))
  return { orm, close: async () => { if (orm !== given) await orm.close() } }
}

/** Request-scoped database sessions for MikroORM. See the README. */
export default fp(scopedDb, {
  fastify: '5.x',
  name: 'fastify-scoped-db'
})
