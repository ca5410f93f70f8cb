/** What is not done again, although an error is transient. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { TransactionPropagation } from '@mikro-orm/core'
import { db } from '../../plugin.ts'
import { postAndLeave } from '../support/clients.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { AGAIN, deadlock, LAST, post, retry } from '../support/retries.ts'
import { Gate } from '../support/signals.ts'

const automatic = { plugin: { commitOnTeardown: true } }

onEachDatabase('what is never done again', automatic, async (t, stage) => {
  const { app, labels, kind, logs } = stage
  await stage.addDatabase('plain')
  const counts: Record<string, number> = {}
  const urls: string[] = []
  const add = (name: string, handler: (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>) => {
    urls.push(name)
    app.post(`/${name}`, retry, async (request, reply) => {
      counts[name] = (counts[name] ?? 0) + 1
      return await handler(request, reply)
    })
  }
  add('other-error', async () => { throw new Error('for good') })
  add('unique', async request => {
    await request.db.insert(Item, { label: 'twice', amount: 0 })
    await request.db.insert(Item, { label: 'twice', amount: 0 })
  })
  add('unique-in-the-flush', async request => {
    for (const label of ['twice', 'twice']) request.db.create(Item, { label })
  })
  add('committed-by-hand', async request => {
    request.db.create(Item, { label: 'by hand' })
    await db.commit()
    throw deadlock()
  })
  add('answered', async (_request, reply) => {
    void reply.code(409).send({ conflict: true })
    throw deadlock()
  })
  add('hijacked', async (request, reply) => {
    await request.db.count(Item)
    reply.hijack()
    reply.raw.statusCode = 500
    // After the next attempt would have begun.
    setTimeout(() => { reply.raw.end('by hand') }, 50)
    throw deadlock()
  })
  add('begun', async (request, reply) => {
    await request.db.count(Item)
    reply.raw.write('begun')
    reply.raw.end()
    throw deadlock()
  })
  app.addHook('preSerialization', async (_request, _reply, payload) => {
    if (Object(payload) instanceof Map) throw new Error('not for JSON')
    return payload
  })
  app.setErrorHandler(async (_error, _request, reply) => {
    await sleep(50)
    return await reply.code(500).send('failed')
  })
  add('failed-otherwise', async (_request, reply) => {
    void reply.send(new Map())
    await sleep(10)
    throw deadlock()
  })
  if (kind === 'mysql') {
    add('alone', async request => {
      await request.db.transactional(async em => await em.insert(Item, { label: 'alone', amount: 0 }), { propagation: TransactionPropagation.REQUIRES_NEW })
      throw deadlock()
    })
  }
  urls.push('plain')
  app.post('/plain', async () => {
    counts['plain'] = (counts['plain'] ?? 0) + 1
    throw deadlock()
  })
  add('written-in-a-database-that-the-scope-does-not-commit', async () => {
    await db.use('plain').session.insert(Item, { label: 'plain', amount: 0 })
    throw deadlock()
  })
  const once = Object.fromEntries(urls.map(url => [url, 1]))
  for (const url of urls) await post(stage, `/${url}`)
  t.same(counts, once)
  t.same(logs.filter(({ msg }) => msg === AGAIN || msg === LAST), [])
  t.same(await labels(), kind === 'mysql' ? ['alone', 'by hand'] : ['by hand'])
})

onEachDatabase('a handler whose client has left is not run again', automatic, async (t, { app, listen, assertClean }) => {
  const arrived = new Gate()
  let runs = 0
  app.post('/', retry, async request => {
    runs++
    await request.db.count(Item)
    arrived.open()
    await once(request.raw.socket, 'close')
    await sleep(10)
    throw deadlock()
  })
  const { port } = await listen()
  await postAndLeave(port, '/', arrived.opened)
  await assertClean()
  t.equal(runs, 1)
})

onEachDatabase('a commit in part is never done again, whatever the handler makes of it', { ...automatic, kinds: ['sqlite'] }, async (t, stage) => {
  const { app, labels } = stage
  const second = await stage.addDatabase('second', automatic.plugin)
  await second.orm.driver.execute('create table child (id integer primary key, item_id integer references item (id) deferrable initially deferred)')
  const attempts: string[] = []
  const commitInPart = async (label: string) => {
    attempts.push(label)
    db.session.create(Item, { label })
    await db.session.flush()
    const { session } = db.use('second')
    await session.getConnection().execute('insert into child (item_id) values (4711)', [], 'run', session.getTransactionContext())
    await db.commit()
  }
  const always = { config: { db: { retry: { attempts: 3, backoff: 1, when: () => true } } } }
  app.post('/swallowed', always, async () => {
    await commitInPart('swallowed').catch(() => {})
    throw deadlock()
  })
  app.post('/wrapped', always, async () => {
    await db.run(async () => await commitInPart('wrapped')).catch((cause: unknown) => { throw new Error('wrapped', { cause }) })
  })
  for (const url of ['/swallowed', '/wrapped']) t.equal((await post(stage, url)).statusCode, 500)
  t.same(attempts, ['swallowed', 'wrapped'])
  t.same(await labels(), ['swallowed', 'wrapped'])
})
