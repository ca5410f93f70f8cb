import { AsyncLocalStorage } from 'node:async_hooks'
import { defineEntity, type Collection, OptionalProps, p, type Ref, type ScalarRef } from '@mikro-orm/core'
import type { Test } from 'tap'
import type { SqlORM } from './databases.ts'

/** Has all that a session has to keep in step with the database. */
export class Customer {
  declare [OptionalProps]?: 'version' | 'loud' | 'others' | 'note'
  declare id: number
  declare name: string
  declare email: string | null
  declare version: number
  /** The database computes it. */
  declare loud: string
  declare data: { tags: string[] } | null
  declare address: Address | null
  declare others: Address[]
  declare note: ScalarRef<string | null>
  declare bought: Date | null
  declare friend: Ref<Customer> | null
  declare orders: Collection<Order>
  declare groups: Collection<Group>
}

export class Address {
  declare street: string
  declare city: string | null
}

export class Order {
  declare id: number
  declare title: string
  declare customer: Customer
}

export class Group {
  declare id: number
  declare name: string
  declare members: Collection<Customer>
}

const AddressSchema = defineEntity({ class: Address, embeddable: true, properties: { street: p.string(), city: p.string().nullable() } })

export const CustomerSchema = defineEntity({
  class: Customer,
  properties: {
    id: p.integer().primary(),
    name: p.string().length(50),
    email: p.string().length(50).nullable().unique(),
    version: p.integer().version(),
    loud: p.string().length(50).generated('(upper(name)) stored'),
    data: p.json<{ tags: string[] }>().nullable(),
    address: () => p.embedded(AddressSchema).nullable(),
    others: () => p.embedded(AddressSchema).array().default([]),
    note: p.text().nullable().lazy().ref(),
    bought: p.datetime().nullable(),
    friend: () => p.manyToOne(CustomerSchema).ref().nullable(),
    orders: () => p.oneToMany(OrderSchema).mappedBy('customer').orphanRemoval(),
    groups: () => p.manyToMany(GroupSchema).inversedBy('members')
  }
})

export const OrderSchema = defineEntity({
  class: Order,
  properties: { id: p.integer().primary(), title: p.string(), customer: () => p.manyToOne(CustomerSchema) }
})

export const GroupSchema = defineEntity({
  class: Group,
  properties: { id: p.integer().primary(), name: p.string(), members: () => p.manyToMany(CustomerSchema).mappedBy('groups') }
})

export const shopEntities = [CustomerSchema, OrderSchema, GroupSchema, AddressSchema]

export async function createShop (orm: SqlORM): Promise<void> {
  await orm.config.getExtension<{ update (): Promise<void> }>('@mikro-orm/schema-generator')?.update()
}

/** What is committed, as text that is easy to compare: `Ada <x@y> (v1) [orders] {groups}`. */
export async function shopRows (orm: SqlORM): Promise<string[]> {
  const customers = await orm.em.fork({ disableContextResolution: true }).findAll(CustomerSchema, { populate: ['orders', 'groups'], orderBy: { name: 'asc' } })
  return customers.map(describe)
}

/** Where `whileWriting()` has not had its turn yet. */
const waiting = new WeakSet<SqlORM>()

/** Asserts that these are committed and no others: `t.match()` lets more follow than it was given. */
export async function matchShop (t: Test, orm: SqlORM, wanted: (string | RegExp)[]): Promise<void> {
  t.notOk(waiting.has(orm), 'what was to come beside a statement has come')
  const rows = await shopRows(orm)
  t.equal(rows.length, wanted.length, rows.join('; '))
  t.match(rows, wanted)
}

/** The same, as an entity shows it. */
export function describe ({ name, loud, email, version, data, address, orders, groups }: Customer): string {
  const list = (items: string[]) => items.sort().join(',')
  return [
    name, loud, email ?? '-', `v${version}`, JSON.stringify(data?.tags ?? null), address?.street ?? '-',
    `[${list(orders.getItems(false).map(({ title }) => title))}]`, `{${list(groups.getItems(false).map(({ name }) => name))}}`
  ].join(' ')
}

type Writing = 'nativeInsertMany' | 'nativeUpdate' | 'nativeUpdateMany' | 'nativeDelete' | 'syncCollections'

/** Does something once, beside the flush, while the database works on the first statement of a kind that the flush sends. */
export function whileWriting (orm: SqlORM, method: Writing, change: () => unknown): void {
  const beside = AsyncLocalStorage.snapshot()
  const original = orm.driver[method] as (...args: unknown[]) => Promise<unknown>
  const put = (value: unknown) => Object.defineProperty(orm.driver, method, { value, configurable: true, writable: true })
  waiting.add(orm)
  put(async (...args: unknown[]) => {
    put(original)
    waiting.delete(orm)
    const written = original.apply(orm.driver, args)
    await beside(change)
    return await written
  })
}
