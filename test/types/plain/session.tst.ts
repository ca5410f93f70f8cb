import type { EntityManager, MikroORM } from '@mikro-orm/core'
import Fastify from 'fastify'
import type { FastifyRequest } from 'fastify'
import scopedDb, { db } from 'fastify-scoped-db'
import type { Database, DatabaseSession, OpenScope } from 'fastify-scoped-db'
import { describe, expect, test } from 'tstyche'

const app = Fastify()
app.register(scopedDb)

/** The members of T that are of type any. */
type AnyMembers<T> = { [K in keyof T]: 0 extends 1 & T[K] ? K : never }[keyof T]

/** What each method of T takes and gives. */
type Signatures<T> = { [K in keyof T]: T[K] extends (...args: infer Taken) => infer Given ? Taken[number] | Awaited<Given> : undefined }

describe('without an augmentation of Databases', () => {
  test('a session is a base EntityManager', () => {
    expect<DatabaseSession>().type.toBe<EntityManager>()
    expect(db.session).type.toBe<EntityManager>()
    expect(app.db.session).type.toBe<EntityManager>()
    expect<FastifyRequest['db']>().type.toBe<EntityManager>()
    expect<OpenScope['session']>().type.toBe<EntityManager>()
  })

  test('a handler sees it too', () => {
    app.get('/users', async request => {
      expect(request.db).type.toBe<EntityManager>()
      // @ts-expect-error Cannot assign to 'db' because it is a read-only property.
      request.db = db.session
    })
  })

  test('what a driver adds is not there', () => {
    expect(db.session).type.not.toHaveProperty('createQueryBuilder')
  })
})

describe('the database', () => {
  test('is the same thing as a global and on the application', () => {
    expect(db).type.toBe<Database>()
    expect(app.db).type.toBe<Database>()
    expect(db.orm).type.toBe<MikroORM>()
    expect(db.name).type.toBe<string>()
    expect(db.use('analytics')).type.toBe<Database>()
    expect(db.hasSession()).type.toBe<boolean>()
  })

  test('ends units of work', () => {
    expect(db.commit()).type.toBe<Promise<void>>()
    expect(db.rollback()).type.toBe<Promise<void>>()
    expect(db.remove()).type.toBe<Promise<void>>()
    expect(db.setRollbackOnly()).type.toBe<void>()
  })

  test('has nothing of type any', () => {
    expect<AnyMembers<Database>>().type.toBe<never>()
    expect<AnyMembers<OpenScope>>().type.toBe<never>()
    expect<AnyMembers<Signatures<Database>>>().type.toBe<never>()
    expect<AnyMembers<Signatures<OpenScope>>>().type.toBe<never>()
  })
})

describe('db.run()', () => {
  test('resolves to what the function gives', () => {
    expect(db.run(() => 1)).type.toBe<Promise<number>>()
    expect(db.run(async () => 'done')).type.toBe<Promise<string>>()
    expect(db.run(async () => {})).type.toBe<Promise<void>>()
  })

  test('hands the session to the function', () => {
    void db.run(session => {
      expect(session).type.toBe<EntityManager>()
    })
  })

  test('takes a function', () => {
    expect(db.run).type.not.toBeCallableWith()
    expect(db.run).type.not.toBeCallableWith(Promise.resolve())
  })
})

describe('db.open()', () => {
  test('can be disposed of', () => {
    expect(db.open()).type.toBe<OpenScope>()
    expect<OpenScope>().type.toBeAssignableTo<AsyncDisposable>()
    async function job () {
      await using scope = db.open()
      expect(scope.session).type.toBe<EntityManager>()
      expect(scope.commit()).type.toBe<Promise<void>>()
      expect(scope.rollback()).type.toBe<Promise<void>>()
    }
    expect(job).type.toBeCallableWith()
  })

  test('is not disposed of synchronously', () => {
    expect<OpenScope>().type.not.toBeAssignableTo<Disposable>()
  })
})
