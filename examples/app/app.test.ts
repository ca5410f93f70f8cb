/** node --test examples/app/app.test.ts */
import assert from 'node:assert/strict'
import { after, afterEach, beforeEach, test } from 'node:test'
import { db } from '../../plugin.ts'
import { isolate, type Isolation } from '../../testing.ts'
import { buildApp } from './app.ts'
import { database } from './database.ts'
import { Author } from './entities.ts'
import { removeAuthorsWithoutBooks } from './jobs.ts'
import { addUser } from './login.ts'

const app = await buildApp({ orm: database })
after(async () => { await app.close() })

// Everything that a test commits is rolled back after it.
let isolation: Isolation
let headers: { authorization: string }
beforeEach(async () => {
  isolation = await isolate(app)
  headers = { authorization: `Bearer ${await addUser('Ada')}` }
})
afterEach(async () => { await isolation.release() })

const dune = { isbn: '9780441013593', title: 'Dune', author: 'Frank Herbert' }

const get = async (url: string) => await app.inject({ url, headers })
const add = async (book: object) => await app.inject({ method: 'POST', url: '/books', headers, payload: book })
const authors = async () => await db.run(async session => (await session.findAll(Author)).map(author => author.name))

test('a book is added, found and listed', async () => {
  const added = await add(dune)
  assert.equal(added.statusCode, 201)
  const { id } = added.json()
  const book = { id, isbn: dune.isbn, title: 'Dune', author: { id: added.json().author.id, name: 'Frank Herbert' } }
  assert.deepEqual(added.json(), book)
  assert.deepEqual((await get(`/books/${id}`)).json(), book)
  assert.deepEqual((await get('/books?perPage=1')).json().items, [book])
})

test('a conflict is a 409, and rolls back the whole request', async () => {
  await add(dune)
  const conflict = await add({ ...dune, author: 'Somebody Else' })
  assert.equal(conflict.statusCode, 409)
  assert.deepEqual(await authors(), ['Frank Herbert']) // the other author was inserted before the book
})

test('a book is removed, and its author by the job', async () => {
  const { id } = (await add(dune)).json()
  assert.equal((await app.inject({ method: 'DELETE', url: `/books/${id}`, headers })).statusCode, 204)
  assert.equal((await get(`/books/${id}`)).statusCode, 404)
  assert.equal(await removeAuthorsWithoutBooks(), 1)
  assert.deepEqual(await authors(), [])
})

test('who is unknown gets a 401, and what is malformed a 400', async () => {
  assert.equal((await app.inject('/books')).statusCode, 401)
  assert.equal((await app.inject({ url: '/books', headers: { authorization: 'Bearer wrong' } })).statusCode, 401)
  assert.equal((await add({ ...dune, isbn: 'none' })).statusCode, 400)
})
