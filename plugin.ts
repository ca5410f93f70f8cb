import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { Application } from './lib/application/application.ts'
import { Database } from './lib/application/database.ts'
import { addApplication, currentSession, removeApplication } from './lib/application/global-db.ts'
import type { DatabaseSession } from './lib/application/session-types.ts'
import { AlreadyRegisteredError, NoScopeError, OrmInUseError } from './lib/errors/errors.ts'
import { addHooks } from './lib/fastify/hooks.ts'
import { requestScopeOf } from './lib/fastify/scoped-request.ts'
import { checkConnections } from './lib/session/check-connection.ts'
import { openReplicas } from './lib/session/open-replicas.ts'
import { openOrm } from './lib/session/orm.ts'
import type { Replicas } from './lib/replicas/replicas.ts'
import { databaseSettings, type RouteOptions as DbRouteOptions, type ScopedDbOptions } from './lib/options/options.ts'
import { resolveToScopes } from './lib/session/orm-context.ts'
import { withTimeout } from './lib/waiting.ts'

export { db } from './lib/application/global-db.ts'
export type { Database } from './lib/application/database.ts'
export type { RecordedStatement } from './lib/scope/recorded-statements.ts'
export type { DatabaseStats } from './lib/application/monitored.ts'
export type { OpenScope } from './lib/application/open-scope.ts'
export type { Databases, DatabaseSession, SessionOf } from './lib/application/session-types.ts'
export type { ConnectionMessage, DatabaseMessage, DatabaseTarget, ScopeMessage, StatementMessage, TraceMessage, TransactionMessage } from './lib/diagnostics/messages.ts'
export type { ChangedEntities } from './lib/events/changes.ts'
export type { AfterWork } from './lib/events/callbacks.ts'
export type { Listener, OutcomeSignal, SessionSignal, Signals } from './lib/events/signals.ts'
export type { GetOptions, LookUpOptions } from './lib/look-ups/or-404.ts'
export type { CursorOptions, CursorPage, CursorQuery } from './lib/look-ups/cursor-pagination.ts'
export type { IterPagesOptions, PageQuery, PaginateOptions, Pagination } from './lib/look-ups/pagination.ts'
export type { LookUpId } from './lib/look-ups/primary-key.ts'
export { cursorPageSchema, cursorQuerySchema, pageQuerySchema, pageSchema } from './lib/look-ups/schemas.ts'
export type { EchoOptions, TagOptions, WarningOptions } from './lib/options/diagnostics-options.ts'
export type { ReadYourWritesOptions, ReplicaOptions } from './lib/options/replica-options.ts'
export type { CommitRule, OpenOptions, RetryOptions, RouteOptions, RunOptions, RunScopeOptions, ScopedDbOptions, ScopeOptions, SessionOptions } from './lib/options/options.ts'
export type { ScopeInfo, ScopeKind } from './lib/types.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The database registered here: the one named `'default'`, or else the first. Others are at `db.use(name)`. */
    db: Database
  }

  interface FastifyRequest {
    /** This request's session of the same database: the driver's EntityManager, made on first use. */
    readonly db: DatabaseSession
  }

  interface FastifyContextConfig {
    /** Overrides the plugin's options for this route; `false` opens no scope for it. */
    db?: DbRouteOptions | false // not RouteOptions: in here that is Fastify's, once a plugin such as @fastify/websocket has added to it
  }
}

const scopedDb: FastifyPluginAsync<ScopedDbOptions> = async (fastify, options) => {
  const settings = databaseSettings(options)
  const known = applicationOf(fastify)
  if (known?.has(settings.name) === true) throw new AlreadyRegisteredError(settings.name)

  const { orm, hasEarlyHooks, close } = await openOrm(settings.orm)
  const other = known?.of(orm)
  if (other !== undefined) throw new OrmInUseError(settings.name, other.name)

  let replicas: Replicas | undefined
  try {
    if (settings.checkConnection) await checkConnections(orm, settings.name, settings.acquireTimeout)
    replicas = await openReplicas(orm, settings, fastify.log)
  } catch (error) {
    await withTimeout(settings.closeTimeout, close())
    throw error
  }
  if (hasEarlyHooks) fastify.log.warn('MikroORM was connected before the plugin was registered: each time that its onCreateConnection or onReserveConnection throws, the pool loses a place')

  const application = known ?? new Application(fastify.log)
  application.add(new Database(application, orm, settings, replicas))
  fastify.addHook('onClose', async function closeScopedDb () {
    await application.close()
    removeApplication(application)
    const isClosed = await withTimeout(settings.closeTimeout, close())
    if (!isClosed) fastify.log.error({ closeTimeout: settings.closeTimeout }, 'the ORM was not closed within closeTimeout: a connection of it does not answer')
  })
  if (known === undefined) addToFastify(fastify, application)

  // Last, so that a registration that fails leaves nothing behind.
  resolveToScopes(orm, currentSession)
  addApplication(application)
}

/** Adds what all databases of an application have in common. */
function addToFastify (fastify: FastifyInstance, application: Application): void {
  fastify.addHook('onReady', async function startScopedDb () {
    await application.start()
  })
  // Fastify waits for the requests in flight before it calls onClose, and they may wait for the database.
  fastify.addHook('preClose', async function startShutdown () {
    application.startShutdown()
  })
  fastify.decorate('db', {
    getter () {
      return application.default
    }
  })
  fastify.decorateRequest('db', {
    getter (this) {
      const scope = requestScopeOf(this)
      if (scope === null) throw new NoScopeError()
      return application.default.sessionIn(scope.scopeInUse())
    }
  })
  addHooks(fastify, application)
}

/** What is registered already. */
function applicationOf (fastify: FastifyInstance): Application | undefined {
  // Another plugin's decorator is Fastify's to refuse.
  const db: unknown = fastify.hasDecorator('db') ? fastify.db : undefined
  return db instanceof Database && db.host instanceof Application ? db.host : undefined
}

/** Request-scoped database sessions for MikroORM. See the README. */
export default fp(scopedDb, {
  fastify: '5.x',
  name: 'fastify-scoped-db'
})
