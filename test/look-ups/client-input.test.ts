import Fastify from 'fastify'
import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import { cursorQuerySchema, db, pageQuerySchema, type CursorQuery, type PageQuery } from '../../plugin.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase, type StageOptions } from '../support/on-each-database.ts'

/** Every option that MikroORM's `find()` and `findByCursor()` take, as its own declarations have them. */
function findOptions (): string[] {
  const declarations = readFileSync(fileURLToPath(import.meta.resolve('@mikro-orm/core')).replace(/index\.js$/, 'drivers/IDatabaseDriver.d.ts'), 'utf8')
  const membersOf = (name: string) => {
    const body = new RegExp(`^export interface ${name}<[^]*?^}`, 'm').exec(declarations)?.[0] ?? ''
    return [...body.matchAll(/^ {4}(\w+)\?:/gm)].map(([, member = '']) => member)
  }
  return ['LoadHint', 'FindOptions', 'FindAllOptions', 'FindByCursorOptions'].flatMap(membersOf)
}

/** Those of our own, which are as little a client's. */
const OWN = ['maxPerPage', 'count', 'lenient', 'description']

const READ = { pages: ['page', 'perPage'], cursors: ['first', 'last', 'after', 'before'] } as const

const HOSTILE = [
  '1', 'true', '4', 'id', 'x', 'other.items', '*/ , /*', 'x */ union select 1, 2, 3 -- ', 'where 0 union select 1, 2, 3 --', '1=1', '1000000',
  '{"label":"desc"}', '[object Object]', '$infer', '__proto__'
]

const logged: string[] = []
const watched: StageOptions = { orm: { debug: ['query', 'query-params'], colors: false, logger: line => { logged.push(line.replace(/\[took .*/, '')) } } }

void t.test('MikroORM declares the options that are tried', async t => {
  const options = findOptions()
  for (const option of ['populate', 'filters', 'having', 'indexHint', 'hintComments', 'comments', 'lockMode', 'schema', 'orderBy', 'limit', 'where', 'includeCount']) t.ok(options.includes(option), option)
})

onEachDatabase('whatever a client sends, only page numbers and cursors of it are read', watched, async (t, { app }) => {
  await app.db.run(async session => await session.insertMany(Item, Array.from({ length: 30 }, (_, n) => ({ id: n + 1, label: `item ${n}`, amount: n }))))
  const options = { orderBy: { label: 'desc' } } as const
  app.get('/pages', async request => await db.paginate(Item, {}, request.query as PageQuery, options))
  app.get('/cursors', async request => await db.paginateByCursor(Item, {}, request.query as CursorQuery, options))
  app.get('/schema/pages', { schema: { querystring: pageQuerySchema } }, async request => await db.paginate(Item, {}, request.query as PageQuery, options))
  app.get('/schema/cursors', { schema: { querystring: cursorQuerySchema } }, async request => await db.paginateByCursor(Item, {}, request.query as CursorQuery, options))

  const ask = async (path: string, query: Record<string, string | string[]>) => {
    logged.length = 0
    const { statusCode, body } = await app.inject({ url: `/${path}`, query })
    return { statusCode, body, statements: [...logged] }
  }
  for (const [list, read] of Object.entries(READ)) {
    const names = [...new Set([...findOptions(), ...OWN])].filter(name => !(read as readonly string[]).includes(name))
    const value = fc.oneof(fc.constantFrom(...HOSTILE), fc.string({ maxLength: 20 }))
    const query = fc.dictionary(fc.oneof(fc.constantFrom(...names), fc.string({ minLength: 1, maxLength: 10 }).filter(name => !(read as readonly string[]).includes(name))), fc.oneof(value, fc.array(value, { minLength: 2, maxLength: 3 })), { minKeys: 1, maxKeys: 6 })
    for (const path of [list, `schema/${list}`]) {
      const plain = await ask(path, {})
      t.equal(plain.statusCode, 200)
      t.ok(plain.statements.length > 0)
      const read: unknown[] = []
      const isRead = async (sent: Record<string, string | string[]>) => !isDeepStrictEqual(await ask(path, sent), plain) && read.push(sent)
      for (const hostile of HOSTILE) await isRead(Object.fromEntries(names.map(name => [name, hostile])))
      for (const [n, name] of names.entries()) await isRead({ [name]: HOSTILE[n % HOSTILE.length] as string })
      await fc.assert(fc.asyncProperty(query, async sent => { await isRead(sent) }), { numRuns: 60 })
      t.same(read, [], path)
    }
  }
})

void t.test('the schemas refuse other properties, where Fastify does not remove them', async t => {
  const app = Fastify({ ajv: { customOptions: { removeAdditional: false } } })
  app.get('/pages', { schema: { querystring: pageQuerySchema } }, async () => 'ok')
  app.get('/cursors', { schema: { querystring: cursorQuerySchema } }, async () => 'ok')
  t.equal((await app.inject('/pages?page=1&perPage=2')).statusCode, 200)
  t.equal((await app.inject('/cursors?first=1&after=x')).statusCode, 200)
  for (const name of [...findOptions(), ...OWN].filter(name => !['first', 'last', 'after', 'before'].includes(name))) {
    t.equal((await app.inject(`/pages?${name}=1`)).statusCode, 400, name)
    t.equal((await app.inject(`/cursors?${name}=1`)).statusCode, 400, name)
  }
})
