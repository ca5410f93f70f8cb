import { defineEntity, p, Type, type Collection, type EntityManager, type Ref } from '@mikro-orm/core'
import { MikroORM } from '@mikro-orm/sqlite'
import fc from 'fast-check'
import t from 'tap'
import { isDirty } from '../../../lib/session/dirty-check.ts'

class Shelf {
  declare id: number
  declare label: string
  /** Missing where only the key of the shelf is known. */
  declare books: Collection<Volume> | undefined
}

class Volume {
  declare id: number
  declare title: string
  declare pages: number | null
  declare printed: Date | null
  declare notes: { tags: string[] } | null
  declare isLent: boolean | null
  declare cover: { colour: string } | null
  declare shelf: Shelf | null
  declare second: Ref<Shelf> | null
  declare authors: Collection<Writer>
  declare passport: Passport | null
}

class Writer {
  declare id: number
  declare name: string
  declare volumes: Collection<Volume>
}

class Passport {
  declare id: number
  declare number: string
  declare volume: Volume | null
}

/** Has nothing but numbers, strings and references to what has a number for its key. */
class Loan {
  declare id: number
  declare reader: string
  declare shelf: Shelf | null
}

/** Has a relation inside an embedded object. */
class Sign {
  declare id: number
  declare pointer: { shelf: Shelf | null }
}

class Cover {
  declare colour: string
}

class Pointer {
  declare shelf: Shelf | null
}

const CoverSchema = defineEntity({ class: Cover, embeddable: true, properties: { colour: p.string() } })

const PointerSchema = defineEntity({ class: Pointer, embeddable: true, properties: { shelf: () => p.manyToOne(ShelfSchema).nullable() } })

const LoanSchema = defineEntity({
  class: Loan,
  properties: { id: p.integer().primary(), reader: p.string(), shelf: () => p.manyToOne(ShelfSchema).nullable() }
})

const SignSchema = defineEntity({ class: Sign, properties: { id: p.integer().primary(), pointer: () => p.embedded(PointerSchema) } })

const ShelfSchema = defineEntity({
  class: Shelf,
  properties: { id: p.integer().primary(), label: p.string(), books: () => p.oneToMany(VolumeSchema).mappedBy('shelf') }
})

const WriterSchema = defineEntity({
  class: Writer,
  properties: { id: p.integer().primary(), name: p.string(), volumes: () => p.manyToMany(VolumeSchema).mappedBy('authors') }
})

const PassportSchema = defineEntity({
  class: Passport,
  properties: { id: p.integer().primary(), number: p.string(), volume: () => p.oneToOne(VolumeSchema).mappedBy('passport').nullable() }
})

const VolumeSchema = defineEntity({
  class: Volume,
  properties: {
    id: p.integer().primary(),
    title: p.string(),
    pages: p.integer().nullable(),
    printed: p.datetime().nullable(),
    notes: p.json<{ tags: string[] }>().nullable(),
    isLent: p.boolean().nullable(),
    cover: () => p.embedded(CoverSchema).nullable(),
    shelf: () => p.manyToOne(ShelfSchema).nullable(),
    second: () => p.manyToOne(ShelfSchema).ref().nullable(),
    authors: () => p.manyToMany(WriterSchema).owner(),
    passport: () => p.oneToOne(PassportSchema).owner().nullable()
  }
})

async function library (): Promise<MikroORM> {
  const orm = await MikroORM.init({ dbName: ':memory:', entities: [ShelfSchema, VolumeSchema, WriterSchema, PassportSchema, LoanSchema, SignSchema, CoverSchema, PointerSchema] })
  await orm.schema.create()
  const em = orm.em.fork()
  const shelf = em.create(ShelfSchema, { label: 'first' } as never)
  const writer = em.create(WriterSchema, { name: 'somebody' } as never)
  for (const n of [1, 2]) {
    em.create(VolumeSchema, {
      title: `volume ${n}`, pages: n, printed: new Date(0), notes: { tags: ['a'] }, isLent: n === 1, cover: { colour: 'red' }, shelf, second: shelf, authors: [writer], passport: em.create(PassportSchema, { number: `${n}` } as never)
    } as never)
  }
  em.create(VolumeSchema, { title: 'empty' } as never)
  for (const place of [shelf, em.create(ShelfSchema, { label: 'second' } as never), null]) em.create(LoanSchema, { reader: 'somebody', shelf: place } as never)
  em.create(SignSchema, { pointer: { shelf } } as never)
  await em.flush()
  return orm
}

/** Reads something, in one of the ways that leave different things in the session. */
const READINGS: Record<string, (em: EntityManager) => Promise<Volume[]>> = {
  bare: em => em.find(VolumeSchema, {}, { orderBy: { id: 1 } }),
  populated: em => em.find(VolumeSchema, {}, { orderBy: { id: 1 }, populate: ['*'] }),
  partial: em => em.find(VolumeSchema, {}, { orderBy: { id: 1 }, fields: ['id', 'shelf'] }) as unknown as Promise<Volume[]>
}

/** One that nobody has told the session of. */
function fresh (em: EntityManager, schema: unknown, data: object): never {
  return em.create(schema as never, data as never, { persist: false })
}

/** What an application does with what it has read. Each is done to any volume. */
const CHANGES: Record<string, (volume: Volume, em: EntityManager) => void> = {
  nothing: () => {},
  title: volume => { volume.title = 'another' },
  'the same title': volume => { volume.title = String(volume.title) },
  pages: volume => { volume.pages = 99 },
  'no pages': volume => { volume.pages = null },
  date: volume => { volume.printed = new Date(1) },
  'the date in place': volume => { volume.printed?.setFullYear(1999) },
  'json in place': volume => { volume.notes?.tags.push('b') },
  lent: volume => { volume.isLent = volume.isLent !== true },
  'embedded in place': volume => { if (volume.cover) volume.cover.colour = 'blue' },
  'no embedded': volume => { volume.cover = null },
  'no shelf': volume => { volume.shelf = null },
  'new shelf': (volume, em) => { volume.shelf = fresh(em, ShelfSchema, { label: 'new' }) },
  'unknown shelf': (volume, em) => { volume.shelf = em.getReference<Shelf>(ShelfSchema, 77 as never) },
  'label of the shelf': volume => { if (volume.shelf) volume.shelf.label = 'renamed' },
  'new writer': (volume, em) => { volume.authors.add(fresh(em, WriterSchema, { name: 'new' })) },
  'no writers': volume => { if (volume.authors.isInitialized()) volume.authors.removeAll() },
  'no passport': volume => { volume.passport = null },
  'new passport': (volume, em) => { volume.passport = fresh(em, PassportSchema, { number: 'new' }) },
  'new volume on the shelf': (volume, em) => { volume.shelf?.books?.add(fresh(em, VolumeSchema, { title: 'new' })) },
  persist: (_volume, em) => { em.persist(em.create(ShelfSchema, { label: 'new' } as never)) },
  remove: (volume, em) => { em.remove(volume) }
}

/** What MikroORM's own search for changes finds, on a session that is thrown away. */
function hasChanges (em: EntityManager): boolean {
  const unitOfWork = em.getUnitOfWork()
  unitOfWork.computeChangeSets()
  return unitOfWork.getChangeSets().length > 0 || unitOfWork.getCollectionUpdates().length > 0 || unitOfWork.getExtraUpdates().size > 0
}

void t.test('nothing that a flush would write is taken for clean', async t => {
  const orm = await library()
  t.teardown(() => orm.close())
  const change = fc.tuple(fc.constantFrom(...Object.keys(CHANGES)), fc.nat({ max: 2 }))
  await fc.assert(fc.asyncProperty(fc.constantFrom(...Object.keys(READINGS)), fc.array(change, { maxLength: 4 }), async (reading, changes) => {
    const em = orm.em.fork()
    const volumes = await READINGS[reading]?.(em) ?? []
    for (const [name, n] of changes) CHANGES[name]?.(volumes[n] as Volume, em)
    const said = !isDirty(em)
    return !(said && hasChanges(em))
  }), { numRuns: 1500 })
})

for (const [reading, read] of Object.entries(READINGS)) {
  for (const [name, change] of Object.entries(CHANGES)) {
    void t.test(`${reading}: ${name}`, async t => {
      const orm = await library()
      t.teardown(() => orm.close())
      const em = orm.em.fork()
      const [volume] = await read(em)
      change(volume as Volume, em)
      const said = !isDirty(em)
      t.notOk(said && hasChanges(em), 'no change is missed')
      const isSame = name === 'nothing' || (name === 'the same title' && reading !== 'partial')
      if (isSame) t.equal(said, true, 'what was only read is clean')
    })
  }
}

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

void t.test('an empty session is clean', async t => {
  const orm = await library()
  t.teardown(() => orm.close())
  t.equal(isDirty(orm.em.fork()), false)
})

for (const event of ['beforeFlush', 'onFlush', 'afterFlush'] as const) {
  void t.test(`no session is clean whose flushes a subscriber to ${event} wants to hear of`, async t => {
    const orm = await library()
    t.teardown(() => orm.close())
    const em = orm.em.fork({ freshEventManager: true })
    t.equal(isDirty(em), false)
    em.getEventManager().registerSubscriber({ [event]: async () => {} })
    t.equal(isDirty(em), true)
  })
}
