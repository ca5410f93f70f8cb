/** MikroORM's session context on PostgreSQL: what row level security is to know of a request, for every statement of it. */
import { defineEntity, p, TransactionPropagation } from '@mikro-orm/core'
import type { SqlEntityManager } from '@mikro-orm/postgresql'
import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { db } from '../../plugin.ts'
import { ItemSchema, PartSchema } from '../support/entities.ts'
import type { SqlORM } from '../support/databases.ts'
import { onEachDatabase, type Stage } from '../support/on-each-database.ts'

const Note = defineEntity({
  name: 'Note',
  properties: { id: p.integer().primary(), tenant: p.string(), text: p.string() },
  filters: { tenant: { name: 'tenant', cond: (args: Record<string, unknown>) => ({ tenant: args['name'] as string }), rls: { setting: 'app.tenant' }, default: false } }
})

const ROLE = `scoped_db_${randomBytes(4).toString('hex')}`

const tenantOf = (request: { headers: object } | undefined) => String((request?.headers as Record<string, string> | undefined)?.['x-tenant'] ?? 'nobody')

const sessionOptions = (request: { headers: object } | undefined) => ({ session: { role: ROLE, variables: { 'app.tenant': tenantOf(request) } } })

type Session = typeof db.session & SqlEntityManager

/** Whoever connects sees everything; the role sees the rows of the tenant that the session tells. */
async function prepare (t: Test, { database: { witness } }: Stage): Promise<void> {
  const all = witness.driver
  await all.execute('create table note (id serial primary key, tenant text not null, text text not null)')
  await all.execute(`create role ${ROLE}`)
  t.teardown(async () => { await all.execute(`drop owned by ${ROLE}; drop role ${ROLE}`) })
  await all.execute(`grant select, insert, update, delete on note to ${ROLE}; grant usage on all sequences in schema public to ${ROLE}`)
  await all.execute("alter table note enable row level security; create policy tenants on note using (tenant = current_setting('app.tenant', true))")
  await all.execute("insert into note (tenant, text) values ('a', 'of a'), ('b', 'of b')")
}

/** Every way to the rows. */
const WAYS: Record<string, (em: Session) => Promise<unknown>> = {
  find: async em => (await em.find(Note, {})).map(({ text }) => text),
  count: async em => await em.count(Note) === 1 ? ['of a'] : ['of others'],
  execute: async em => texts(await em.execute('select text from note')),
  'a doubtful statement': async em => texts(await em.execute('select text from note for update')),
  'the connection': async em => texts(await em.getConnection().execute('select text from note')),
  'its read connection': async em => texts(await em.getConnection('read').execute('select text from note')),
  Kysely: async em => texts(await em.getKysely<{ note: { text: string } }>().selectFrom('note').select('text').execute()),
  'a connection of Kysely\'s': async em => await em.getKysely<{ note: { text: string } }>().connection().execute(async kysely => texts(await kysely.selectFrom('note').select('text').execute())),
  'a transaction of Kysely\'s': async em => await em.getKysely<{ note: { text: string } }>().transaction().execute(async trx => texts(await trx.selectFrom('note').select('text').execute())),
  'a controlled transaction of Kysely\'s': async em => {
    const trx = await em.getKysely<{ note: { text: string } }>().startTransaction().execute()
    const rows = await trx.selectFrom('note').select('text').execute()
    await trx.rollback().execute()
    return texts(rows)
  },
  'a transaction of the connection\'s': async em => {
    const connection = em.getConnection()
    return await connection.transactional(async trx => texts(await connection.execute('select text from note', [], 'all', trx)))
  },
  'a query builder': async em => texts(await em.createQueryBuilder(Note, 'n').select('text').execute()),
  'a stream': async em => {
    const found: string[] = []
    for await (const { text } of em.stream(Note)) found.push(text)
    return found
  },
  'a stream of the connection': async em => {
    const found: unknown[] = []
    for await (const row of em.getKysely<{ note: { text: string } }>().selectFrom('note').select('text').stream()) found.push(row.text)
    return found
  },
  'em.transactional()': async em => await em.transactional(async em => (await em.find(Note, {})).map(({ text }) => text)),
  REQUIRES_NEW: async em => await em.transactional(async em => texts(await em.execute('select text from note')), { propagation: TransactionPropagation.REQUIRES_NEW }),
  'a fork': async em => (await em.fork().find(Note, {})).map(({ text }) => text),
  'a function': async em => texts(await em.execute('select text from note where length(text) > 0 and tenant <> all (array[pg_backend_pid()::text])'))
}

function texts (rows: unknown): unknown {
  return (rows as { text: string }[]).map(({ text }) => text)
}

/** MikroORM refuses some outside transactions, since it could not keep the rows apart. */
const shown = async (way: (em: Session) => Promise<unknown>, em: Session) => await way(em).catch((error: unknown) => String(error))

/** Its own rows, or a refusal. */
const REFUSALS = /FST_SCOPED_DB_SCOPE_CLOSED|this scope is|Cannot stream under a database session context|would know nothing of the session context|is inside the transaction of its scope already/

const isOwn = (seen: unknown) => JSON.stringify(seen) === '["of a"]' || (typeof seen === 'string' && REFUSALS.test(seen))

for (const commitOnTeardown of [true, false]) {
  for (const [name, way] of Object.entries(WAYS)) {
    onEachDatabase(`a request sees its own tenant's rows by ${name} (commitOnTeardown: ${commitOnTeardown})`, {
      plugin: { commitOnTeardown, sessionOptions }, orm: { entities: [ItemSchema, PartSchema, Note] }, kinds: ['postgresql']
    }, async (t, stage) => {
      const { app } = stage
      await prepare(t, stage)
      const seen: [where: string, rows: unknown][] = []
      const look = async (where: string) => { seen.push([where, await shown(way, db.session)]) }
      const afterwards: Promise<unknown>[] = []
      app.addHook('onRequest', async () => await look('onRequest'))
      app.addHook('preParsing', async () => await look('preParsing'))
      app.addHook('preHandler', async () => await look('preHandler'))
      app.addHook('onSend', async () => await look('onSend'))
      app.addHook('onResponse', async () => await look('onResponse'))
      const handle = async () => {
        await look('handler')
        afterwards.push(sleep(30).then(async () => await look('timer')))
        return Readable.from((async function * () {
          await look('stream')
          yield 'done'
        })())
      }
      app.get('/', handle)
      app.post('/', handle)
      for (const method of ['GET', 'POST'] as const) {
        const reply = await app.inject({ method, url: '/', headers: { 'x-tenant': 'a' } })
        t.equal(reply.statusCode, 200)
      }
      await Promise.all(afterwards)
      while (app.db.openScopes > 0) await sleep(5)
      for (const [where, rows] of seen) t.ok(isOwn(rows), `${where}: ${JSON.stringify(rows)}`)
      const isRefused = /of Kysely's$/.test(name) && name.includes('transaction')
      if (!isRefused && (commitOnTeardown || name !== 'a stream')) t.same(seen.find(([where]) => where === 'handler')?.[1], ['of a'])
      t.equal(seen.length, 16)
    })
  }
}

const automatic = { plugin: { commitOnTeardown: true, sessionOptions: sessionOptions as never }, orm: { entities: [ItemSchema, PartSchema, Note] }, kinds: ['postgresql' as const] }

onEachDatabase('what is written is checked by the policy, and nothing of the session is left on its connection', { ...automatic, orm: { ...automatic.orm, pool: { max: 1 } } }, async (t, stage) => {
  const { app, orm, database: { witness } } = stage
  await prepare(t, stage)
  app.post<{ Body: { tenant: string } }>('/', async request => await request.db.insert(Note, { tenant: request.body.tenant, text: 'new' }))
  app.put('/', async request => await request.db.nativeUpdate(Note, {}, { text: 'changed' }))
  const send = async (method: 'POST' | 'PUT', payload: object) => (await app.inject({ method, url: '/', payload, headers: { 'x-tenant': 'a' } })).statusCode
  t.equal(await send('POST', { tenant: 'a' }), 200)
  t.equal(await send('POST', { tenant: 'b' }), 500)
  t.equal(await send('PUT', {}), 200)
  t.same(await witness.driver.execute('select tenant, text from note order by tenant, id'), [{ tenant: 'a', text: 'changed' }, { tenant: 'a', text: 'changed' }, { tenant: 'b', text: 'of b' }])
  t.match(await orm.em.fork().execute("select current_user as role, current_setting('app.tenant', true) as tenant"), [{ role: 'postgres', tenant: /^$|null/ }])
})

/** By whom the session is told of the tenant, before its first statement. */
const STAGED: Record<string, (em: Session, orm: SqlORM) => void> = {
  'request.db.setSessionContext()': em => { em.setSessionContext({ role: ROLE, variables: { 'app.tenant': 'a' } }) },
  'orm.em.setSessionContext()': (_, { em }) => { em.setSessionContext({ role: ROLE, variables: { 'app.tenant': 'a' } }) },
  'an rls filter': em => {
    em.setSessionContext({ role: ROLE })
    em.setFilterParams('tenant', { name: 'a' })
  }
}

for (const [name, stage] of Object.entries(STAGED)) {
  for (const commitOnTeardown of [true, false]) {
    onEachDatabase(`the tenant is told by ${name} (commitOnTeardown: ${commitOnTeardown})`, { ...automatic, plugin: { commitOnTeardown } }, async (t, { app, orm, ...others }) => {
      await prepare(t, { app, orm, ...others })
      app.addHook('preHandler', async request => {
        stage(request.db, orm)
        t.match(request.db.getSessionContext(), { role: ROLE, variables: { 'app.tenant': 'a' } })
      })
      app.get('/', async request => [...await request.db.find(Note, {}), ...await request.db.find(Note, {}, { fields: ['text'] })].map(({ text }) => text))
      app.get('/cleared', async request => {
        request.db.clearSessionContext()
        return texts(await request.db.execute('select text from note order by id'))
      })
      app.get('/late', async request => {
        await request.db.execute('select 1')
        await request.db.find(Note, {})
        if (commitOnTeardown) t.throws(() => { stage(request.db, orm) }, /inside an active transaction/)
        return 'ok'
      })
      t.same((await app.inject('/')).json(), ['of a', 'of a'])
      t.same((await app.inject('/cleared')).json(), ['of a', 'of b'])
      t.equal((await app.inject('/late')).statusCode, 200)
    })
  }
}

for (const commitOnTeardown of [true, false]) {
  onEachDatabase(`with sessionContext: 'connection' it is told when a connection is taken (commitOnTeardown: ${commitOnTeardown})`, {
    ...automatic, plugin: { commitOnTeardown, sessionOptions }, orm: { ...automatic.orm, sessionContext: 'connection', pool: { max: 3 } }
  }, async (t, stage) => {
    const { app } = stage
    await prepare(t, stage)
    app.get('/', async request => {
      const own = [texts(await request.db.execute('select text from note')), texts(await request.db.getConnection().execute('select text from note for update'))]
      // It is another unit of work, whose tenant is nobody, whatever is current.
      await using scope = app.db.open()
      const others = texts(await scope.session.execute('select text from note'))
      const inside = await request.db.getKysely<{ note: { text: string } }>().connection().execute(async () => await app.db.run(async session => texts(await session.execute('select text from note'))))
      return [...own, others, inside]
    })
    t.same((await app.inject({ url: '/', headers: { 'x-tenant': 'a' } })).json(), [['of a'], ['of a'], [], []])
  })
}

onEachDatabase('a GET that reads twice begins one transaction', { ...automatic, plugin: { ...automatic.plugin, recordStatements: true } }, async (t, stage) => {
  const { app } = stage
  await prepare(t, stage)
  app.get('/', async request => {
    await request.db.count(Note)
    await request.db.find(Note, {})
    return app.db.statements.map(({ sql }) => sql.split(' ')[0])
  })
  t.same((await app.inject({ url: '/', headers: { 'x-tenant': 'a' } })).json<string[]>().filter(word => word !== 'set'), ['begin', 'select', 'select', 'select'], 'the first tells the tenant')
})

onEachDatabase('a role that is not there', automatic, async (t, stage) => {
  const { app, assertClean } = stage
  app.get('/', { config: { db: { sessionOptions: { session: { role: 'nobody"; drop table item' } } } } }, async request => await request.db.execute('select 1'))
  t.match((await app.inject('/')).json(), { statusCode: 500 })
  await assertClean()
})

onEachDatabase('a statement whose scope is closed while it waits for its connection', { ...automatic, plugin: { commitOnTeardown: false, sessionOptions: { session: { variables: { 'app.tenant': 'a' } } } }, orm: { ...automatic.orm, pool: { max: 1 } } }, async (t, { app, orm }) => {
  await app.ready()
  const { promise: held, resolve: release } = Promise.withResolvers<void>()
  const scope = app.db.open()
  const holding = Promise.withResolvers<void>()
  const holder = orm.driver.getConnection().getClient().connection().execute(async () => {
    holding.resolve()
    await held
  })
  await holding.promise
  const refused = t.rejects(scope.session.getConnection().execute('select 1'), { code: 'FST_SCOPED_DB_SCOPE_CLOSED' })
  await sleep(20)
  const closed = scope[Symbol.asyncDispose]()
  release()
  await Promise.all([holder, refused, closed])
})

onEachDatabase('a write whose scope is rolled back while it waits for its connection', { ...automatic, plugin: { commitOnTeardown: false, sessionOptions: { session: { variables: { 'app.tenant': 'a' } } } }, orm: { ...automatic.orm, pool: { max: 1 } } }, async (t, { app, orm, labels }) => {
  const { promise: held, resolve: release } = Promise.withResolvers<void>()
  const holding = Promise.withResolvers<void>()
  let holder: Promise<void> | undefined
  app.post('/', async (request, reply) => {
    // Is connected from here on.
    await request.db.execute('select 1')
    holder = orm.driver.getConnection().getClient().connection().execute(async () => {
      holding.resolve()
      await held
    })
    await holding.promise
    const refused = t.rejects(request.db.getConnection().execute("insert into item (label, amount) values ('late', 0)"), { code: 'FST_SCOPED_DB_SCOPE_CLOSED', message: /rolled back/ })
    await sleep(50)
    return await reply.code(409).send(Readable.from((async function * () {
      yield 'no'
      release()
      await refused
    })()))
  })
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 409)
  await holder
  t.same(await labels(), [])
})

onEachDatabase('a statement of its own that fails, or that changes its connection, leaves nothing', { ...automatic, plugin: { commitOnTeardown: false, sessionOptions: { session: { variables: { 'app.tenant': 'a' } } } }, orm: { ...automatic.orm, pool: { max: 1 } } }, async (t, { app, orm }) => {
  app.get('/', async request => {
    const connection = request.db.getConnection()
    await t.rejects(connection.execute('select nothing'), { code: '42703' })
    await connection.execute("set application_name = 'changed'")
    return await connection.execute("select current_setting('app.tenant', true) as tenant, current_setting('application_name') as name")
  })
  t.same((await app.inject('/')).json(), [{ tenant: 'a', name: '' }])
  t.match(await orm.em.fork().execute("select current_setting('app.tenant', true) as tenant"), [{ tenant: /^$/ }])
})
