import type { EntityManager } from '@mikro-orm/core'
import fc from 'fast-check'
import t from 'tap'
import { isDirty } from '../../../lib/session/dirty-check.ts'
import { hasChanges, library, PassportSchema, type Shelf, ShelfSchema, type Volume, VolumeSchema, WriterSchema } from '../../support/library-entities.ts'

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
