/** MikroORM's result cache, which all sessions have in common. */
import { MemoryCacheAdapter, type CacheAdapter, type EntityManager } from '@mikro-orm/core'
import type { SqlEntityManager } from '@mikro-orm/mysql'
import { db } from '../../plugin.ts'
import { ItemSchema as Item, PartSchema as Part } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'

const automatic = { plugin: { commitOnTeardown: true } }

const cache: [string, number] = ['items', 60_000]
const labelsOf = (items: { label: string }[]) => items.map(({ label }) => label).sort()

type Way = (em: SqlEntityManager) => Promise<unknown>

/** The ways to read through the cache, and what they give: the labels, or how many there are. */
const WAYS: Record<string, Way> = {
  find: async em => labelsOf(await em.find(Item, {}, { cache })),
  findAll: async em => labelsOf(await em.findAll(Item, { cache })),
  findOne: async em => labelsOf([await em.findOne(Item, { label: 'ghost' }, { cache })].filter(item => item !== null)),
  findAndCount: async em => labelsOf((await em.findAndCount(Item, {}, { cache: 60_000 }))[0]),
  'findAndCount counts': async em => (await em.findAndCount(Item, {}, { cache: 60_000 }))[1],
  findByCursor: async em => labelsOf((await em.findByCursor(Item, { first: 10, orderBy: { id: 'asc' }, cache: 60_000 })).items),
  count: async em => await em.count(Item, {}, { cache }),
  'without the identity map': async em => labelsOf(await em.find(Item, {}, { cache, disableIdentityMap: true })),
  'query builder': async em => labelsOf(await em.createQueryBuilder(Item).select('*').cache(cache).getResultList()),
  'query builder executes': async em => labelsOf(await em.createQueryBuilder(Item).select('*').cache(cache).execute<{ label: string }[]>('all')),
  'query builder gets': async em => labelsOf([await em.createQueryBuilder(Item).select('*').cache(cache).execute<{ label: string }>('get')].filter(Boolean)),
  repository: async em => labelsOf(await em.getRepository(Item).findAll({ cache })),
  'fork inside the transaction': async em => labelsOf(await em.fork({ keepTransactionContext: true }).find(Item, {}, { cache })),
  'fork of a fork': async em => labelsOf(await em.fork({ keepTransactionContext: true }).fork({ keepTransactionContext: true }).find(Item, {}, { cache })),
  nested: async em => await em.transactional(async inner => labelsOf(await inner.find(Item, {}, { cache }))),
  'outer in a nested': async em => await em.transactional(async () => labelsOf(await em.find(Item, {}, { cache }))),
  'a builder in a nested': async em => await em.transactional(async () => labelsOf(await em.createQueryBuilder(Item).select('*').cache(cache).getResultList()))
}

const NOTHING = [[], 0] as unknown[]
const GHOST = [['ghost'], 1] as unknown[]

for (const [name, read] of Object.entries(WAYS)) {
  onEachDatabase(`the result cache holds nothing that was not committed: ${name}`, automatic, async (t, { app, orm, database }) => {
    app.get('/', async request => await read(request.db))
    app.get('/orm', async () => await read(orm.em))
    for (const [url, em] of Object.entries({ '/session': () => db.session, '/orm': () => orm.em })) {
      app.post<{ Querystring: { status: number } }>(url, async (request, reply) => {
        request.db.create(Item, { label: 'ghost' })
        await request.db.flush()
        return await reply.code(Number(request.query.status)).send(JSON.stringify(await read(em())))
      })
    }
    app.post('/commits', async request => {
      request.db.create(Item, { label: 'ghost' })
      await db.commit()
      return await read(request.db)
    })
    const json = async (method: 'GET' | 'POST', url: string) => JSON.parse((await app.inject({ method, url })).body) as unknown
    const clear = async () => { await orm.config.getResultCacheAdapter().clear() }
    for (const url of ['/session', '/orm']) {
      t.ok(has(GHOST, await json('POST', `${url}?status=409`)), 'it sees its own')
      t.ok(has(NOTHING, await json('GET', '/')), 'and nobody else does')
      t.ok(has(GHOST, await json('POST', `${url}?status=409`)), 'it sees its own, whatever is in the cache')
      t.ok(has(NOTHING, await json('GET', '/')))
    }
    t.ok(has(GHOST, await json('POST', '/session?status=201')))
    t.ok(has(NOTHING, await json('GET', '/')), 'it was not filled at the commit')
    await clear()
    await database.witness.em.fork().nativeDelete(Item, {})
    t.ok(has(GHOST, await json('POST', '/commits')))
    await database.witness.em.fork().nativeDelete(Item, {})
    t.ok(has(GHOST, await json('GET', '/')), 'it was filled after the commit')
    t.ok(has(GHOST, await json('GET', '/orm')))
  })
}

function has (wanted: unknown[], given: unknown): boolean {
  return wanted.some(one => JSON.stringify(one) === JSON.stringify(given))
}

onEachDatabase('a cache for all that is read', { ...automatic, orm: { resultCache: { global: 60_000, expiration: 60_000 } } }, async (t, { app }) => {
  app.get('/', async request => labelsOf(await request.db.find(Item, {})))
  app.post('/', async (request, reply) => {
    request.db.create(Item, { label: 'ghost' })
    return await reply.code(409).send(labelsOf(await request.db.find(Item, {})))
  })
  for (let n = 0; n < 2; n++) {
    t.same((await app.inject({ method: 'POST', url: '/' })).json(), ['ghost'])
    t.same((await app.inject('/')).json(), [])
  }
})

onEachDatabase('what is changed and not flushed is neither cached nor overwritten', automatic, async (t, { app, database }) => {
  const em = database.witness.em.fork()
  em.create(Item, { label: 'kept', amount: 1 })
  await em.flush()
  const amounts = async (em: EntityManager) => (await em.find(Item, {}, { cache, flushMode: 'commit' })).map(({ amount }) => amount)
  app.get('/', async request => await amounts(request.db))
  app.post<{ Querystring: { status: number } }>('/', async (request, reply) => {
    const item = await request.db.findOneOrFail(Item, { label: 'kept' })
    item.amount++
    return await reply.code(Number(request.query.status)).send(await amounts(request.db))
  })
  const post = async (status: number) => (await app.inject({ method: 'POST', url: `/?status=${status}` })).json<unknown>()
  t.same(await post(409), [2])
  t.same((await app.inject('/')).json(), [1])
  t.same(await post(200), [2], 'although 1 is in the cache')
  t.equal((await database.witness.em.fork().findOneOrFail(Item, { label: 'kept' })).amount, 2)
})

class HookedCache implements CacheAdapter {
  static hook = async () => {}
  readonly #memory = new MemoryCacheAdapter({ expiration: 60_000 })

  async get<T> (name: string): Promise<T | undefined> {
    await HookedCache.hook()
    return this.#memory.get<T>(name)
  }

  set (name: string, data: unknown, origin: string): void {
    this.#memory.set(name, data, origin)
  }

  remove (name: string): void {
    this.#memory.remove(name)
  }

  clear (): void {
    this.#memory.clear()
  }
}

onEachDatabase('what was written and rolled back while it was read', { ...automatic, orm: { resultCache: { adapter: HookedCache } } as never }, async (t, { app, orm }) => {
  let rollBack = async () => {}
  orm.em.getEventManager().registerSubscriber({ onLoad: async () => { await rollBack() } })
  app.get('/', async request => await request.db.find(Item, {}, { cache }))
  app.post('/', async request => {
    HookedCache.hook = async () => { await request.db.insert(Item, { label: 'ghost', amount: 0 }) }
    rollBack = async () => { await db.rollback() }
    const items = await request.db.find(Item, {}, { cache })
    HookedCache.hook = rollBack = async () => {}
    return items.length
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).body, '1')
  t.same((await app.inject('/')).json(), [])
})

onEachDatabase('what a session still shows after its rollback', automatic, async (t, { app, database }) => {
  const em = database.witness.em.fork()
  em.create(Item, { label: 'kept' })
  await em.flush()
  const read = async (em: EntityManager) => (await em.find(Item, {}, { populate: ['parts'], cache })).map(item => item.parts.getItems().map(({ name }) => name))
  app.get('/', async request => await read(request.db))
  app.post('/', { onResponse: async request => { await read(request.db) } }, async (request, reply) => {
    const [item] = await request.db.find(Item, {}, { populate: ['parts'] })
    item?.parts.add(request.db.create(Part, { item, name: 'ghost' }))
    await request.db.flush()
    return await reply.code(409).send()
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 409)
  t.same((await app.inject('/')).json(), [[]])
})

onEachDatabase('plain MikroORM, and transactions of their own', { plugin: { commitOnTeardown: false } }, async (t, { app }) => {
  const read = async (em: EntityManager) => labelsOf(await em.find(Item, {}, { cache }))
  app.get('/', async request => await read(request.db))
  app.post('/begins', async request => {
    await request.db.begin()
    request.db.create(Item, { label: 'ghost' })
    const own = await read(request.db)
    await request.db.rollback()
    return own
  })
  app.post('/fails', async request => {
    let own: unknown
    await request.db.transactional(async em => {
      em.create(Item, { label: 'ghost' })
      own = await read(em)
      throw new Error('no')
    }).catch(() => {})
    return own
  })
  app.post('/flushes', async request => {
    request.db.create(Item, { label: 'kept' })
    await request.db.transactional(async em => { em.create(Item, { label: 'nested' }) })
    await request.db.flush()
    return await read(request.db)
  })
  for (const url of ['/begins', '/fails']) {
    t.same((await app.inject({ method: 'POST', url })).json(), ['ghost'], url)
    t.same((await app.inject('/')).json(), [], url)
  }
  t.same((await app.inject({ method: 'POST', url: '/flushes' })).json(), [], 'served from the cache: it has nothing that is not committed')
})
