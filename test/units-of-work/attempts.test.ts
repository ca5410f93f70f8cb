/** What an attempt that was given up leaves behind for the next: nothing. */
import type { FastifyReply } from 'fastify'
import { db } from '../../plugin.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'

const automatic = { plugin: { commitOnTeardown: true } }
const retry = { config: { db: { retry: { attempts: 3, backoff: 1 } } } }
const deadlock = () => Object.assign(new Error('Deadlock found when trying to get lock'), { code: 'ER_LOCK_DEADLOCK', errno: 1213, sqlState: '40001' })

/** As @fastify/cookie keeps its cookies. */
const COOKIES = Symbol('cookies')

/** Of another plugin. */
interface Lists { list: string[], set: Set<string>, map: Map<string, string> }

type Cookies = FastifyReply & { [COOKIES]: Map<string, string> | null }

/** What a handler can put on its reply. */
const PUTS: Record<string, (reply: FastifyReply) => void> = {
  'a header': reply => { void reply.header('x-first', '1') },
  'a header of its own': reply => { reply.raw.setHeader('x-raw', '1') },
  'another value for a header that was there': reply => { void reply.header('x-hook', 'first') },
  'a removed header': reply => { void reply.removeHeader('x-hook') },
  'two cookies': reply => { void reply.header('set-cookie', 'a=1').header('set-cookie', 'b=2') },
  'a cookie of a plugin': reply => {
    const { [COOKIES]: cookies } = reply as Cookies
    if (cookies === null) (reply as Cookies)[COOKIES] = new Map([['c', '3']])
    else cookies.set('c', '3')
  },
  'a trailer': reply => { void reply.trailer('x-sum', async () => 'first') },
  'a status': reply => { void reply.code(202) },
  'a status message': reply => { reply.raw.statusMessage = 'Fine' },
  'a serializer': reply => { void reply.serializer(() => '"the first"') },
  'a type': reply => { void reply.type('application/first+json') },
  'a listener': reply => { reply.raw.on('finish', () => { void reply.header('x-late', '1') }); reply.raw.prependListener('pipe', () => {}) },
  'what is in lists, sets and maps of plugins': reply => {
    const { list, set, map } = reply as unknown as Lists
    list.push('first')
    set.add('first')
    map.set('first', 'first')
  },
  'a property': reply => { (reply as unknown as { mine: string }).mine = 'first' }
}

onEachDatabase('whatever an attempt has put on the reply is taken back', automatic, async (t, { app, listen }) => {
  app.decorateReply(COOKIES as unknown as string, null)
  app.addHook('onRequest', async (_request, reply) => {
    reply.header('x-hook', 'kept')
    reply.raw.setHeader('x-raw-hook', 'kept')
    Object.assign(reply, { list: ['hook'], set: new Set(['hook']), map: new Map([['hook', 'hook']]) })
  })
  app.addHook('onSend', async (_request, reply) => {
    const { list, set, map } = reply as unknown as Lists
    reply.header('x-lists', [...list, ...set, ...map.keys()].join())
    const { [COOKIES]: cookies } = reply as Cookies
    if (cookies !== null) reply.header('set-cookie', [...cookies].map(([name, value]) => `${name}=${value}`))
  })
  let listeners: number[] = []
  let mine: unknown[] = []
  const handler = (fail: 'handler' | 'commit', puts: (reply: FastifyReply) => void) => {
    let attempts = 0
    return async (request: { db: typeof db.session }, reply: FastifyReply) => {
      attempts++
      // A session listens for the end of its reply.
      await request.db.count(Item)
      listeners.push(reply.raw.listenerCount('finish') + reply.raw.listenerCount('pipe'))
      mine.push((reply as unknown as { mine: unknown }).mine)
      if (attempts % 2 === 0) return { attempts: 2 }
      puts(reply)
      if (fail === 'handler') throw deadlock()
      request.db.getEventManager().registerSubscriber({ async beforeTransactionCommit () { if (attempts % 2 === 1) throw deadlock() } })
      return { attempts: 1 }
    }
  }
  const own = { config: { db: { ...retry.config.db, sessionOptions: { cloneEventManager: true } } } }
  for (const [n, put] of Object.values(PUTS).entries()) {
    app.post(`/handler/${n}`, own, handler('handler', put) as never)
    app.post(`/commit/${n}`, own, handler('commit', put) as never)
  }
  app.post('/plain', own, async () => ({ attempts: 2 }))
  const { origin } = await listen()
  const ask = async (url: string) => {
    listeners = []
    mine = []
    const reply = await fetch(`${origin}${url}`, { method: 'POST' })
    const { date, ...headers } = Object.fromEntries(reply.headers)
    return { status: reply.status, message: reply.statusText, headers, body: await reply.text() }
  }
  const plain = await ask('/plain')
  t.match(plain, { status: 200, headers: { 'x-hook': 'kept', 'x-raw-hook': 'kept', 'x-lists': 'hook,hook,hook' } })
  for (const fail of ['handler', 'commit']) {
    for (const [n, name] of Object.keys(PUTS).entries()) {
      t.same(await ask(`/${fail}/${n}`), plain, `${name}, a failed ${fail}`)
      t.equal(listeners.length, 2)
      t.equal(listeners[0], listeners[1], `${name}: nobody more listens`)
      t.same(mine, [undefined, undefined])
    }
  }
})

onEachDatabase('code of an attempt that was given up finds the scope of that attempt, which is closed', automatic, async (t, { app, orm, labels }) => {
  const ways: Record<string, (request: { db: typeof db.session }, label: string) => Promise<unknown>> = {
    'request.db': async (request, label) => await request.db.insert(Item, { label, amount: 0 }),
    'db.session': async (_request, label) => await db.session.insert(Item, { label, amount: 0 }),
    'orm.em': async (_request, label) => await orm.em.insert(Item, { label, amount: 0 })
  }
  const late: Record<string, Promise<unknown>[]> = {}
  for (const [name, insert] of Object.entries(ways)) {
    let attempt = 0
    const own: Promise<unknown>[] = late[name] = []
    const second = Promise.withResolvers<void>()
    app.post(`/${name}`, retry, async request => {
      const label = `${name} ${++attempt}`
      if (attempt === 2) second.resolve()
      own.push(second.promise.then(async () => await insert(request, label)).then(() => 'written', (error: { code?: string }) => error.code))
      await request.db.count(Item)
      if (attempt === 1) throw deadlock()
      await own[1]
      return 'ok'
    })
  }
  for (const name of Object.keys(ways)) {
    t.equal((await app.inject({ method: 'POST', url: `/${name}` })).statusCode, 200, name)
    t.same(await Promise.all(late[name] ?? []), ['FST_SCOPED_DB_SCOPE_CLOSED', 'written'], name)
  }
  t.same(await labels(), Object.keys(ways).map(name => `${name} 2`).sort())
})

onEachDatabase('an attempt that has not used the database is given up as well', automatic, async (t, { app, labels }) => {
  let attempt = 0
  app.post('/', retry, async request => {
    if (++attempt === 1) throw deadlock()
    return request.db.create(Item, { label: 'second' })
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 200)
  t.same(await labels(), ['second'])
})
