import { defineEntity, p, type Collection, type EntityManager, type Ref } from '@mikro-orm/core'
import { MikroORM } from '@mikro-orm/sqlite'

export class Shelf {
  declare id: number
  declare label: string
  /** Missing where only the key of the shelf is known. */
  declare books: Collection<Volume> | undefined
}

export class Volume {
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
export class Loan {
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

export const CoverSchema = defineEntity({ class: Cover, embeddable: true, properties: { colour: p.string() } })

const PointerSchema = defineEntity({ class: Pointer, embeddable: true, properties: { shelf: () => p.manyToOne(ShelfSchema).nullable() } })

export const LoanSchema = defineEntity({
  class: Loan,
  properties: { id: p.integer().primary(), reader: p.string(), shelf: () => p.manyToOne(ShelfSchema).nullable() }
})

export const SignSchema = defineEntity({ class: Sign, properties: { id: p.integer().primary(), pointer: () => p.embedded(PointerSchema) } })

export const ShelfSchema = defineEntity({
  class: Shelf,
  properties: { id: p.integer().primary(), label: p.string(), books: () => p.oneToMany(VolumeSchema).mappedBy('shelf') }
})

export const WriterSchema = defineEntity({
  class: Writer,
  properties: { id: p.integer().primary(), name: p.string(), volumes: () => p.manyToMany(VolumeSchema).mappedBy('authors') }
})

export const PassportSchema = defineEntity({
  class: Passport,
  properties: { id: p.integer().primary(), number: p.string(), volume: () => p.oneToOne(VolumeSchema).mappedBy('passport').nullable() }
})

export const VolumeSchema = defineEntity({
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

/** A database in memory with some of each. */
export async function library (): Promise<MikroORM> {
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

/** What MikroORM's own search for changes finds, on a session that is thrown away. */
export function hasChanges (em: EntityManager): boolean {
  const unitOfWork = em.getUnitOfWork()
  unitOfWork.computeChangeSets()
  return unitOfWork.getChangeSets().length > 0 || unitOfWork.getCollectionUpdates().length > 0 || unitOfWork.getExtraUpdates().size > 0
}
