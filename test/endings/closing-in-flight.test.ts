import Fastify from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import scopedDb, { db } from '../../plugin.ts'
import { post } from '../support/clients.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { Gate } from '../support/signals.ts'

const automatic = { plugin: { commitOnTeardown: true } }

onEachDatabase('app.close() lets requests in flight complete and closes the ORM after the last scope', automatic, async (t, { database, labels }) => {
  const app = Fastify()
  const arrived = { listening: new Gate(), gone: new Gate() }
  const go = new Gate()
  const gone = new Gate()
  await app.register(scopedDb, { orm: database.options, commitOnTeardown: true, begin: 'write' })
  const write = async (label: 'listening' | 'gone') => {
    await db.session.count(Item)
    arrived[label].open()
    await go.opened
    db.session.create(Item, { label })
    return label
  }
  app.post('/listening', async () => await write('listening'))
  app.post('/gone', async request => {
    request.raw.once('close', () => gone.open())
    return await write('gone')
  })
  const closing = new Gate()
  // Called before the plugin's own, which then has to wait for the job.
  app.addHook('onClose', async () => { closing.open() })
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })
  const port = Number(new URL(origin).port)
  const job = app.db.run(async session => {
    await closing.opened
    await sleep(20)
    session.create(Item, { label: 'job' })
  })
  const client = await post(port, '/listening')
  const leaving = await post(port, '/gone')
  await Promise.all([arrived.listening.opened, arrived.gone.opened])
  leaving.leave()
  await gone.opened
  const { orm } = app.db
  const closed = app.close()
  await sleep(20)
  go.open()
  await client.until('200 OK')
  await job
  await closed
  t.same(await labels(), ['gone', 'job', 'listening'])
  t.equal(await orm.isConnected(), false, 'the ORM that the plugin made is closed')
})
