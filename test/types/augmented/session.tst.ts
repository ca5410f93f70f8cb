import type { EntityManager } from '@mikro-orm/core'
import type { SqlEntityManager } from '@mikro-orm/mysql'
import { defineEntity, MikroORM as PostgreSqlORM, p } from '@mikro-orm/postgresql'
import Fastify from 'fastify'
import type { FastifyRequest } from 'fastify'
import scopedDb, { db } from 'fastify-scoped-db'
import type { Database, DatabaseSession, OpenScope, SessionOf } from 'fastify-scoped-db'
import { describe, expect, test } from 'tstyche'

const User = defineEntity({ name: 'User', properties: { id: p.integer().primary() } })
const orm = new PostgreSqlORM({ dbName: 'test', entities: [User] as const })

// An augmentation holds for the whole program, so this folder is a project of its own.
declare module 'fastify-scoped-db' {
  interface Databases { default: SqlEntityManager, analytics: SqlEntityManager & { isAnalytics: true }, reports: typeof orm }
}

const app = Fastify()
app.register(scopedDb, { name: 'reports', orm })

describe('with an augmentation of Databases', () => {
  test('a session is the driver\'s EntityManager', () => {
    expect<DatabaseSession>().type.toBe<SqlEntityManager>()
    expect(db.session).type.toBe<SqlEntityManager>()
    expect(app.db.session).type.toBe<SqlEntityManager>()
    expect<FastifyRequest['db']>().type.toBe<SqlEntityManager>()
    expect<OpenScope['session']>().type.toBe<SqlEntityManager>()
  })

  test('a handler sees what the driver adds', () => {
    app.get('/users', async request => {
      expect(request.db).type.toHaveProperty('createQueryBuilder')
      return await request.db.execute('select 1')
    })
  })

  test('so does the function of db.run()', () => {
    expect(db.run(session => session.execute('select 1'))).type.toBeAssignableTo<Promise<unknown>>()
    void db.run(session => {
      expect(session).type.toBe<SqlEntityManager>()
    })
  })

  test('and whoever has db.open()', () => {
    expect(db.open().session).type.toBe<SqlEntityManager>()
  })

  test('each database has the type of its name', () => {
    type Analytics = SqlEntityManager & { isAnalytics: true }
    expect<SessionOf<'analytics'>>().type.toBe<Analytics>()
    expect(db.use('analytics')).type.toBe<Database<Analytics>>()
    expect(app.db.use('analytics').session).type.toBe<Analytics>()
    expect(db.use('default').session).type.toBe<SqlEntityManager>()
    expect(db.use('other').session).type.toBe<EntityManager>()
    void db.use('analytics').run(session => { expect(session).type.toBe<Analytics>() })
    expect(db.use('analytics').open().session).type.toBe<Analytics>()
  })

  test('or of its MikroORM, whatever driver that is of', () => {
    expect<SessionOf<'reports'>>().type.toBe<typeof orm.em>()
    expect<SessionOf<'reports'>>().type.not.toBe<EntityManager>()
    void db.use('reports').run(session => { expect(session).type.toHaveProperty('createQueryBuilder') })
    expect(db.use('reports').session.getKysely).type.toBe<typeof orm.em.getKysely>()
  })
})
