import { defineEntity, p } from '@mikro-orm/core'
import { createTables } from '../support/databases.ts'
import { onEachDatabase } from '../support/on-each-database.ts'

/** Takes not everything that a database can hold. */
class Price {
  readonly amount: number

  constructor (amount: number) {
    if (amount < 0) throw new RangeError('a price cannot be negative')
    this.amount = amount
  }
}

const PriceSchema = defineEntity({ class: Price, embeddable: true, forceConstructor: true, properties: { amount: p.integer() } })
const ShelfSchema = defineEntity({ name: 'Shelf', properties: { id: p.integer().primary(), books: () => p.oneToMany(BookSchema).mappedBy('shelf') } })
const BookSchema = defineEntity({
  name: 'Book',
  properties: { id: p.integer().primary(), price: () => p.embedded(PriceSchema), shelf: () => p.manyToOne(ShelfSchema).nullable() }
})

const library = { plugin: { commitOnTeardown: true }, orm: { entities: [PriceSchema, ShelfSchema, BookSchema] } }

onEachDatabase('a row that cannot be read does no harm to later requests', library, async (t, { app, orm }) => {
  await createTables(orm)
  await orm.driver.execute('insert into shelf (id) values (1)')
  await orm.driver.execute('insert into book (id, price_amount) values (1, 1), (2, -1)')
  app.get('/broken', async request => await request.db.find(BookSchema, 2))
  app.post('/move', async request => {
    const book = await request.db.findOneOrFail(BookSchema, 1)
    book.shelf = await request.db.findOneOrFail(ShelfSchema, 1)
    return 'moved'
  })
  t.match((await app.inject('/broken')).json(), { message: 'a price cannot be negative' })
  t.equal((await app.inject({ method: 'POST', url: '/move' })).statusCode, 200)
  t.match(await orm.em.fork().findOneOrFail(BookSchema, 1), { shelf: { id: 1 } })
})
