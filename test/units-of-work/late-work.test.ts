/** Work that goes on after what it belongs to: somebody has most likely forgotten to await it. */
import { db } from '../../plugin.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { Gate } from '../support/signals.ts'

type Session = typeof db.session

for (const commitOnTeardown of [true, false]) {
  for (const [title, end] of Object.entries({ released: () => {}, 'rolled back': () => { throw new Error('back') } })) {
    onEachDatabase(`what goes on after its em.transactional() was ${title} is refused, commitOnTeardown: ${commitOnTeardown}`, { plugin: { commitOnTeardown } }, async (t, { app, orm, labels }) => {
      const uses: Record<string, (em: Session) => unknown> = {
        create: em => em.create(Item, { label: 'late' }),
        persist: em => em.persist(orm.em.fork().create(Item, { label: 'late' })),
        remove: em => em.remove(em.getReference(Item, 1)),
        flush: em => em.flush(),
        insert: em => em.insert(Item, { label: 'late', amount: 0 }),
        find: em => em.findAll(Item),
        count: em => em.count(Item),
        execute: em => em.execute("insert into item (label, amount) values ('late', 0)"),
        builder: em => em.createQueryBuilder(Item).insert({ label: 'late', amount: 0 }).execute(),
        transactional: em => em.transactional(async () => {}),
        clear: em => { em.clear() },
        fork: em => em.fork({ keepTransactionContext: true })
      }
      app.post('/', async request => {
        const over = new Gate()
        const late: Promise<void>[] = []
        let inner: Session | undefined
        const refused = async (use: () => unknown, what: string) => {
          await t.rejects(async () => { await use() }, { code: 'FST_SCOPED_DB_SCOPE_CLOSED', message: /em\.transactional\(\) is over\. Most likely something was not awaited/ }, what)
        }
        const work = async (name: string, use: (em: Session) => unknown, em: Session) => {
          await over.opened
          await refused(() => use(em), name)
        }
        await request.db.transactional(async em => {
          inner = em
          for (const [name, use] of Object.entries(uses)) {
            late.push(work(`${name} in the em that was given`, use, em))
            late.push(work(`${name} in the session`, use, request.db))
            late.push(work(`${name} in orm.em`, use, orm.em))
          }
          late.push(work('db.afterCommit()', () => { db.afterCommit(() => {}) }, em))
          end()
        }).catch(() => {})
        over.open()
        await Promise.all(late)
        for (const [name, use] of Object.entries(uses)) await refused(() => use(inner as Session), `${name} from outside`)
        await request.db.transactional(async () => { await refused(() => inner?.flush(), 'from another one') })
        request.db.create(Item, { label: 'kept' })
        await request.db.flush()
        return 'ok'
      })
      const response = await app.inject({ method: 'POST', url: '/' })
      t.equal(response.statusCode, 200, response.body)
      t.same(await labels(), ['kept'])
    })
  }
}
