/** Times MikroORM's search for changes and the plugin's, in a session that has only read: `node bench/changes.ts`. */
import { MikroORM } from '@mikro-orm/core'
import { hasUnflushed } from '../lib/session/dirty-check.ts'
import { optionsFor, seed } from './database.ts'
import { Book } from './entities.ts'
import { median } from './statistics.ts'

const TURNS = 2000

const orm = await MikroORM.init(optionsFor('sqlite', 'changes', undefined))
await seed(orm)

/** 50 books and the 50 authors of them. */
const em = orm.em.fork()
await em.find(Book, {}, { limit: 50, populate: ['author'] })
// Before MikroORM's own, which remembers whom it has met.
console.log(`hasUnflushed(): ${time(() => hasUnflushed(em))} µs for 100 entities`)
console.log(`computeChangeSets(): ${time(() => em.getUnitOfWork().computeChangeSets())} µs`)
await orm.close()

function time (work: () => unknown): string {
  const times = Array.from({ length: TURNS }, () => {
    const begun = performance.now()
    work()
    return performance.now() - begun
  })
  return (median(times) * 1000).toFixed(0)
}
