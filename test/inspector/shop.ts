/** An application to be looked at: it does what one should not, too. */
import { defineEntity, MikroORM, p, type SqlEntityManager } from '@mikro-orm/sqlite'
import Fastify, { type FastifyInstance } from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import inspector from '../../inspector.ts'
import scopedDb, { db } from '../../plugin.ts'

const Author = defineEntity({ name: 'Author', properties: { id: p.integer().primary(), name: p.string().unique() } })
const Book = defineEntity({ name: 'Book', properties: { id: p.integer().primary(), title: p.string(), author: () => p.manyToOne(Author) } })

const execute = async (sql: string, values: unknown[] = []) => await (db.session as SqlEntityManager).execute(sql, values)

export interface Shop {
  readonly app: FastifyInstance
  readonly origin: string
  close (): Promise<void>
}

export async function openShop (): Promise<Shop> {
  const orm = await MikroORM.init({ dbName: ':memory:', entities: [Author, Book] })
  await orm.schema.create()
  const em = orm.em.fork()
  for (const name of ['Ursula', 'Octavia', 'Stanislaw', 'Italo']) em.create(Book, { title: `A book by ${name}`, author: em.create(Author, { name }) })
  await em.flush()
  const app = Fastify()
  await app.register(scopedDb, { orm, commitOnTeardown: true, mapErrors: true })
  await app.register(inspector)

  app.get('/books', async () => await db.session.findAll(Book, { populate: ['author'] }))
  app.get('/books/slowly', async () => {
    const books = await db.session.findAll(Book)
    const seen: string[] = []
    for (const { author } of books) {
      seen.push((await db.session.findOneOrFail(Author, { id: author.id, name: { $ne: 'nobody' } })).name)
      await sleep(2)
    }
    return seen
  })
  app.post('/authors', async (request, reply) => {
    reply.code(201)
    const author = db.session.create(Author, request.body as { name: string })
    await sleep(4)
    return author
  })
  app.get('/fails', async () => await execute('select * from nowhere where secret = ?', ['hunter2']))
  app.get('/slow', async () => {
    await execute('with recursive n (i) as (select 1 union all select i + 1 from n where i < 1500000) select count(*) from n')
    return 'done'
  })
  app.get('/hostile/*', async (request, reply) => {
    const { id } = request.query as { id: string }
    await execute(`select ? as "${id.replaceAll('"', '')}"`, [id])
    return await reply.code(400).send('no')
  })
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })
  return {
    app,
    origin,
    async close () {
      await app.close()
      await orm.close()
    }
  }
}
