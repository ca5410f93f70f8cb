import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'

const automatic = { plugin: { commitOnTeardown: true } }

onEachDatabase('errors at teardown are logged and poison nothing', automatic, async (t, { app, orm, labels, logs }) => {
  let fails = true
  orm.em.getEventManager().registerSubscriber({
    async afterTransactionRollback () {
      if (fails) throw new Error('in a subscriber')
    }
  })
  app.post('/:label', async request => {
    await request.db.insert(Item, { label: (request.params as { label: string }).label, amount: 0 })
    if (fails) throw new Error('roll back')
    return 'ok'
  })
  t.match((await app.inject({ method: 'POST', url: '/first' })).json(), { statusCode: 500, message: 'roll back' })
  t.match(logs.find(line => line.msg === 'teardown of a database scope failed'), { err: { message: 'in a subscriber' } })
  fails = false
  t.equal((await app.inject({ method: 'POST', url: '/second' })).statusCode, 200)
  t.same(await labels(), ['second'])
})

onEachDatabase('subscribers that throw can stop a commit, but neither take one back nor stop a rollback', automatic, async (t, { app, orm, labels, logs, assertClean }) => {
  let failing = ''
  const fail = (event: string) => async () => { if (failing === event) throw new Error(event) }
  orm.em.getEventManager().registerSubscriber({
    beforeTransactionCommit: fail('before commit'),
    afterTransactionCommit: fail('after commit'),
    beforeTransactionRollback: fail('before rollback'),
    afterTransactionRollback: fail('after rollback')
  })
  app.post('/ok', async request => request.db.create(Item, { label: failing }))
  app.post('/error', async request => {
    await request.db.insert(Item, { label: failing, amount: 0 })
    throw new Error('roll back')
  })
  for (const [event, url, status] of [['before commit', '/ok', 500], ['after commit', '/ok', 200], ['before rollback', '/error', 500], ['after rollback', '/error', 500]] as const) {
    failing = event
    t.equal((await app.inject({ method: 'POST', url })).statusCode, status, event)
    await assertClean()
  }
  t.same(await labels(), ['after commit'])
  t.same(logs.filter(line => line.msg === 'teardown of a database scope failed').map(line => (line['err'] as Error).message), ['after commit', 'before rollback', 'after rollback'])
})

onEachDatabase('a query log that fails at teardown', { ...automatic, orm: { debug: ['query'], colors: false, logger: message => { if (message.endsWith('rollback')) throw new Error('no space left') } } }, async (t, { app, logs, labels }) => {
  app.post('/', async request => {
    await request.db.insert(Item, { label: 'logged', amount: 0 })
    throw new Error('roll back')
  })
  t.match((await app.inject({ method: 'POST', url: '/' })).json(), { statusCode: 500, message: 'roll back' })
  t.match(logs.find(line => line.msg === 'teardown of a database scope failed'), { err: { message: 'no space left' } })
  t.same(await labels(), [])
})
