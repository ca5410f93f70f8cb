import type { SqlORM } from './databases.ts'
import { ItemSchema as Item } from './entities.ts'

/** What can be seen inside of the isolation, by a session of the test's own. */
export async function inside (orm: SqlORM): Promise<string[]> {
  const items = await orm.em.fork().find(Item, {}, { orderBy: { label: 'asc' } })
  return items.map(({ label }) => label)
}

/** What to insert for an item. */
export const insert = (label: string) => ({ label, amount: 0 })
