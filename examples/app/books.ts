import type { FastifyInstance } from 'fastify'
import { db, pageQuerySchema, pageSchema, type PageQuery } from '../../plugin.ts'
import { Author, Book } from './entities.ts'

interface NewBook { isbn: string, title: string, author: string }

const newBookSchema = {
  type: 'object',
  required: ['isbn', 'title', 'author'],
  properties: {
    isbn: { type: 'string', pattern: '^\\d{13}$' },
    title: { type: 'string', minLength: 1, maxLength: 200 },
    author: { type: 'string', minLength: 1, maxLength: 200 }
  }
} as const

const bookSchema = {
  type: 'object',
  properties: {
    id: { type: 'integer' },
    isbn: { type: 'string' },
    title: { type: 'string' },
    author: { type: 'object', properties: { id: { type: 'integer' }, name: { type: 'string' } } }
  }
} as const

/** A Fastify plugin with the routes of books. */
export async function books (app: FastifyInstance) {
  app.get<{ Querystring: PageQuery }>('/books', {
    schema: { querystring: pageQuerySchema, response: { 200: pageSchema(bookSchema) } }
  }, async request => {
    return await db.paginate(Book, {}, request.query, { orderBy: { title: 'asc' }, populate: ['author'] })
  })

  app.get<{ Params: { id: string } }>('/books/:id', { schema: { response: { 200: bookSchema } } }, async request => {
    return await db.getOr404(Book, request.params.id, { populate: ['author'] })
  })

  app.post<{ Body: NewBook }>('/books', { schema: { body: newBookSchema, response: { 201: bookSchema } } }, async (request, reply) => {
    const { isbn, title, author: name } = request.body
    const author = await db.session.findOne(Author, { name }) ?? db.session.create(Author, { name })
    const book = db.session.create(Book, { isbn, title, author, addedBy: request.user })
    // After the commit, never after a rollback: the place to send mail, or to tell a search index.
    db.afterCommit(() => { request.log.info({ book: book.id }, 'a book was added') })
    reply.code(201)
    return book // flushed, so that it has its id, and committed before it is sent. A 409 if there is such an ISBN
  })

  app.delete<{ Params: { id: string } }>('/books/:id', async (request, reply) => {
    db.session.remove(await db.getOr404(Book, request.params.id))
    return await reply.code(204).send()
  })
}
