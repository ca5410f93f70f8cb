/** The search for changes by the kinds of property that an entity has. */
import { defineEntity, p, Type, type EntityManager } from '@mikro-orm/core'
import { MikroORM } from '@mikro-orm/sqlite'
import t from 'tap'
import { isDirty } from '../../../lib/session/dirty-check.ts'
import { CoverSchema, hasChanges, library, type Loan, LoanSchema, SignSchema } from '../../support/library-entities.ts'

const LOANS: Record<string, [isClean: boolean, change: (loans: Loan[]) => void]> = {
  nothing: [true, () => {}],
  'what it was': [true, ([loan]) => { if (loan) Object.assign(loan, { reader: String(loan.reader), shelf: loan.shelf }) }],
  'another reader': [false, ([loan]) => { if (loan) loan.reader = 'somebody else' }],
  'another shelf': [false, ([loan, other]) => { if (loan && other) loan.shelf = other.shelf }],
  'no shelf': [false, ([loan]) => { if (loan) loan.shelf = null }],
  'a first shelf': [false, ([loan,, none]) => { if (loan && none) none.shelf = loan.shelf }]
}

for (const [name, [expected, change]] of Object.entries(LOANS)) {
  for (const populate of [[], ['shelf']]) {
    void t.test(`plain properties, ${populate.length === 0 ? 'keys only' : 'populated'}: ${name}`, async t => {
      const orm = await library()
      t.teardown(() => orm.close())
      const em = orm.em.fork()
      change(await em.find(LoanSchema, {}, { orderBy: { id: 1 }, populate } as never))
      t.equal(!isDirty(em), expected)
      t.equal(hasChanges(em), !expected, 'as MikroORM sees it')
    })
  }
}

void t.test('a relation inside an embedded object is left to MikroORM', async t => {
  const orm = await library()
  t.teardown(() => orm.close())
  const em = orm.em.fork()
  await em.find(SignSchema, {})
  t.equal(isDirty(em), true)
})

/** What it is in the database is what another value is in the application. */
class OppositeType extends Type<string, string> {
  override convertToDatabaseValue (value: string): string {
    return value === 'left' ? 'right' : 'left'
  }

  override convertToJSValue (value: string): string {
    return this.convertToDatabaseValue(value)
  }

  override getColumnType (): string {
    return 'text'
  }

  override get runtimeType (): string {
    return 'string'
  }
}

void t.test('a value that is now what the database had for another one has changed', async t => {
  const Turn = defineEntity({ name: 'Turn', properties: { id: p.integer().primary(), side: p.type(OppositeType) } })
  const orm = await MikroORM.init({ dbName: ':memory:', entities: [Turn] })
  t.teardown(() => orm.close())
  await orm.schema.create()
  await orm.em.fork().insert(Turn, { id: 1, side: 'left' })
  const em = orm.em.fork()
  const turn = await em.findOneOrFail(Turn, 1)
  t.equal(turn.side, 'left')
  t.equal(isDirty(em), false)
  turn.side = 'right'
  t.equal(isDirty(em), true)
  t.equal(hasChanges(em), true, 'as MikroORM sees it')
})

class Target {
  declare id: number
}

class Dated {
  declare day: string
}

class Pair {
  declare left: number
  declare right: number
}

const TargetSchema = defineEntity({ class: Target, properties: { id: p.integer().primary() } })
const DatedSchema = defineEntity({ class: Dated, properties: { day: p.type(OppositeType).primary() } })
const PairSchema = defineEntity({ class: Pair, properties: { left: p.integer().primary(), right: p.integer().primary() } })

/** What an entity can hold, with a value of it, and whether a look at it is enough. */
const HOLDINGS: Record<string, { property: () => unknown, value: (em: EntityManager) => unknown, isQuick: boolean }> = {
  'a number': { property: () => p.integer(), value: () => 1, isQuick: true },
  'a text': { property: () => p.string(), value: () => 'a', isQuick: true },
  'a reference': { property: () => p.manyToOne(TargetSchema), value: em => em.create(TargetSchema, {}), isQuick: true },
  'a wrapped reference': { property: () => p.manyToOne(TargetSchema).ref(), value: em => em.create(TargetSchema, {}), isQuick: true },
  'a reference to one': { property: () => p.oneToOne(TargetSchema).owner(), value: em => em.create(TargetSchema, {}), isQuick: true },
  'a date': { property: () => p.datetime(), value: () => new Date(0), isQuick: false },
  'a boolean': { property: () => p.boolean(), value: () => true, isQuick: false },
  'an object': { property: () => p.json(), value: () => ({ a: 1 }), isQuick: false },
  'a list': { property: () => p.array(), value: () => ['a'], isQuick: false },
  'a type of the application': { property: () => p.type(OppositeType), value: () => 'left', isQuick: false },
  'an embedded object': { property: () => p.embedded(CoverSchema), value: () => ({ colour: 'red' }), isQuick: false },
  'a key': { property: () => p.manyToOne(TargetSchema).mapToPk(), value: () => 1, isQuick: false },
  'a reference by a key of the application': { property: () => p.manyToOne(DatedSchema), value: em => em.create(DatedSchema, { day: 'left' }), isQuick: false },
  'a reference by two keys': { property: () => p.manyToOne(PairSchema), value: em => em.create(PairSchema, { left: 1, right: 2 }), isQuick: false }
}

for (const [name, { property, value, isQuick }] of Object.entries(HOLDINGS)) {
  void t.test(`${name} is compared ${isQuick ? 'by a look at it' : 'as MikroORM does'}`, async t => {
    const Holder = defineEntity({ name: 'Holder', properties: { id: p.integer().primary(), held: property as never } })
    const orm = await MikroORM.init({ dbName: ':memory:', entities: [Holder, TargetSchema, DatedSchema, PairSchema, CoverSchema] })
    t.teardown(() => orm.close())
    await orm.schema.create()
    const filling = orm.em.fork()
    // What a key leads to has to be there first.
    filling.create(TargetSchema, {})
    await filling.flush()
    filling.create(Holder, { held: value(filling) } as never)
    await filling.flush()
    const em = orm.em.fork()
    t.ok(await em.findOneOrFail(Holder as never, 1, { populate: ['*'] as never }))
    const compared: string[] = []
    const comparator = em.getComparator()
    const { prepareEntity } = comparator
    comparator.prepareEntity = entity => {
      compared.push(entity.constructor.name)
      return prepareEntity.call(comparator, entity)
    }
    for (const time of ['first', 'second']) t.equal(isDirty(em), false, time)
    t.equal(compared.includes('Holder'), !isQuick)
  })
}
