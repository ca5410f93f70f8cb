import { IsolationLevel } from '@mikro-orm/core'
import { MikroORM as CoreORM, type MikroORM } from '@mikro-orm/core'
import { MikroORM as MySqlORM } from '@mikro-orm/mysql'
import { MikroORM as PostgreSqlORM } from '@mikro-orm/postgresql'
import { defineConfig, defineEntity, MikroORM as SqliteORM, p, SqliteDriver } from '@mikro-orm/sqlite'
import Fastify from 'fastify'
import type { FastifyContextConfig, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import scopedDb, { db } from 'fastify-scoped-db'
import type { CommitRule, RouteOptions, RunOptions, ScopedDbOptions, SessionOptions } from 'fastify-scoped-db'
import { describe, expect, test } from 'tstyche'

declare const orm: MikroORM
declare function plugin (options: ScopedDbOptions): void
declare function route (db: FastifyContextConfig['db']): void

const app = Fastify()
const handler = async () => {}

describe('register()', () => {
  test('takes the plugin with options, or without', () => {
    expect(scopedDb).type.toBeAssignableTo<FastifyPluginAsync<ScopedDbOptions>>()
    expect(app.register).type.toBeCallableWith(scopedDb)
    expect(app.register).type.toBeCallableWith(scopedDb, { orm, commitOnTeardown: true })
  })

  test('takes every option', () => {
    expect(plugin).type.toBeCallableWith({
      orm,
      name: 'default',
      commitOnTeardown: true,
      sessionOptions: { schema: 'tenant' },
      begin: 'auto',
      isolationLevel: IsolationLevel.SERIALIZABLE,
      readOnly: false,
      cancelOnAbort: true,
      acquireTimeout: 10_000
    })
  })

  test('takes no other', () => {
    expect(plugin).type.not.toBeCallableWith({ commitOnTeardwon: true })
    app.register(scopedDb, {
      // @ts-expect-error 'commitOnTeardwon' does not exist in type
      commitOnTeardwon: true
    })
    app.register(scopedDb, {
      // @ts-expect-error Type 'string' is not assignable to type
      readOnly: 'yes'
    })
  })

  test('takes undefined for any option', () => {
    expect(plugin).type.toBeCallableWith({ orm: undefined, name: undefined, commitOnTeardown: undefined, acquireTimeout: undefined })
  })
})

describe('the option orm', () => {
  test('is a MikroORM or its options', () => {
    expect(plugin).type.toBeCallableWith({ orm })
    expect(plugin).type.toBeCallableWith({ orm: { driver: SqliteDriver, dbName: ':memory:' } })
    expect(plugin).type.toBeCallableWith({ orm: defineConfig({ dbName: ':memory:' }) })
    expect(plugin).type.toBeCallableWith({ orm: new SqliteORM({ dbName: ':memory:' }) })
  })

  test('of any driver, whatever it knows of its entities', () => {
    const User = defineEntity({ name: 'User', properties: { id: p.integer().primary() } })
    expect(plugin).type.toBeCallableWith({ orm: new SqliteORM({ dbName: ':memory:', entities: [User] }) })
    expect(plugin).type.toBeCallableWith({ orm: new SqliteORM({ dbName: ':memory:', entities: [User] as const }) })
    expect(plugin).type.toBeCallableWith({ orm: new CoreORM({ driver: SqliteDriver, dbName: ':memory:', entities: [User] as const }) })
    expect(plugin).type.toBeCallableWith({ orm: { driver: SqliteDriver, dbName: ':memory:', entities: [User] as const } })
    expect(plugin).type.toBeCallableWith({ orm: defineConfig({ dbName: ':memory:', entities: [User] as const }) })
    expect(plugin).type.toBeCallableWith({ orm: new MySqlORM({ dbName: 'test', entities: [User] as const }) })
    expect(plugin).type.toBeCallableWith({ orm: new PostgreSqlORM({ dbName: 'test', entities: [User] as const }) })
  })

  test('is nothing else', () => {
    expect(plugin).type.not.toBeCallableWith({ orm: 'mysql://localhost' })
    expect(plugin).type.not.toBeCallableWith({ orm: Promise.resolve(orm) })
  })
})

describe('the option commitOnTeardown', () => {
  test('is a boolean or a function', () => {
    expect<ScopedDbOptions['commitOnTeardown']>().type.toBe<boolean | CommitRule | undefined>()
    expect(plugin).type.toBeCallableWith({ commitOnTeardown: false })
    expect(plugin).type.toBeCallableWith({ commitOnTeardown: () => true })
  })

  test('as a function sees the request, the reply and the error', () => {
    plugin({
      commitOnTeardown (request, reply, error) {
        expect(request).type.toBe<FastifyRequest>()
        expect(reply).type.toBe<FastifyReply>()
        expect(error).type.toBe<Error | undefined>()
        return reply.statusCode === 409
      }
    })
  })

  test('is nothing else', () => {
    expect(plugin).type.not.toBeCallableWith({ commitOnTeardown: 'yes' })
    expect(plugin).type.not.toBeCallableWith({ commitOnTeardown: 1 })
    expect(plugin).type.not.toBeCallableWith({ commitOnTeardown: () => 'commit' })
  })

  test('decides at once', () => {
    expect(plugin).type.not.toBeCallableWith({ commitOnTeardown: async () => true })
  })
})

describe('the option sessionOptions', () => {
  test('is fork options or a function that gives them', () => {
    expect(plugin).type.toBeCallableWith({ sessionOptions: { flushMode: 'commit' } })
    plugin({
      sessionOptions (request) {
        expect(request).type.toBe<FastifyRequest | undefined>()
        return { schema: 'tenant' }
      }
    })
  })

  test('leaves to the scope what the scope decides', () => {
    expect<SessionOptions>().type.not.toHaveProperty('clear')
    expect<SessionOptions>().type.not.toHaveProperty('useContext')
    expect<SessionOptions>().type.not.toHaveProperty('disableContextResolution')
    expect<SessionOptions>().type.not.toHaveProperty('keepTransactionContext')
    expect<SessionOptions>().type.not.toHaveProperty('disableTransactions')
    expect<SessionOptions>().type.toHaveProperty('session')
    expect(plugin).type.not.toBeCallableWith({ sessionOptions: { useContext: true } })
  })
})

describe('the options of diagnostics', () => {
  test('are on, off, or in detail', () => {
    expect(plugin).type.toBeCallableWith({ echo: true, recordStatements: true, warnings: true, tagStatements: true })
    expect(plugin).type.toBeCallableWith({ echo: { level: 'warn' }, warnings: { onRepeated: 'throw', slowStatement: false }, tagStatements: { requestId: true } })
    expect(plugin).type.not.toBeCallableWith({ warnings: 'throw' })
    expect(plugin).type.not.toBeCallableWith({ warnings: { onRepeated: 'fail' } })
    expect(plugin).type.not.toBeCallableWith({ tagStatements: { userId: true } })
  })
})

describe('the options of the transaction', () => {
  test('are literals', () => {
    expect<ScopedDbOptions['begin']>().type.toBe<'auto' | 'statement' | 'write' | undefined>()
    expect(plugin).type.toBeCallableWith({ isolationLevel: 'read committed' })
    expect(plugin).type.not.toBeCallableWith({ begin: 'read' })
    expect(plugin).type.not.toBeCallableWith({ isolationLevel: 'chaos' })
    expect(plugin).type.not.toBeCallableWith({ readOnly: 'yes' })
    expect(plugin).type.not.toBeCallableWith({ cancelOnAbort: 1 })
    expect(plugin).type.not.toBeCallableWith({ acquireTimeout: '10s' })
    expect(plugin).type.not.toBeCallableWith({ name: 1 })
  })
})

describe('config.db of a route', () => {
  test('is options or false', () => {
    expect<FastifyContextConfig['db']>().type.toBe<RouteOptions | false | undefined>()
    app.get('/none', { config: { db: false } }, handler)
    app.get('/some', { config: { db: { commitOnTeardown: true, begin: 'write', readOnly: false } } }, handler)
    app.get('/rule', { config: { db: { commitOnTeardown: (_request, reply) => reply.statusCode < 500 } } }, handler)
    app.route({ method: 'POST', url: '/full', config: { db: { sessionOptions: { schema: 'x' }, isolationLevel: 'serializable', cancelOnAbort: true } }, handler })
  })

  test('is nothing else', () => {
    expect(route).type.not.toBeCallableWith(true)
    expect(route).type.not.toBeCallableWith({ commitOnTeardown: 'yes' })
    expect(route).type.not.toBeCallableWith({ unknown: true })
  })

  test('takes nothing that is the plugin\'s alone', () => {
    expect(route).type.not.toBeCallableWith({ orm })
    expect(route).type.not.toBeCallableWith({ name: 'default' })
    expect(route).type.not.toBeCallableWith({ acquireTimeout: 1 })
  })
})

describe('db.run() and db.open()', () => {
  test('take options', () => {
    const options: RunOptions = { commitOnTeardown: true, sessionOptions: { schema: 'x' }, begin: 'statement', isolationLevel: 'serializable', readOnly: false }
    expect(db.run).type.toBeCallableWith(() => 1, options)
    expect(db.open).type.toBeCallableWith(options)
  })

  test('take none that need a request', () => {
    expect(db.run).type.not.toBeCallableWith(() => 1, { commitOnTeardown: () => true })
    expect(db.run).type.not.toBeCallableWith(() => 1, { sessionOptions: () => ({}) })
    expect(db.run).type.not.toBeCallableWith(() => 1, { cancelOnAbort: true })
    expect(db.open).type.not.toBeCallableWith({ cancelOnAbort: true })
  })
})
