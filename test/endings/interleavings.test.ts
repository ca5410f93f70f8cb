import type { FastifyReply, FastifyRequest } from 'fastify'
import fc from 'fast-check'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { db } from '../../plugin.ts'
import { rawClient, type Client } from '../support/clients.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase, type Stage } from '../support/on-each-database.ts'

type Step = 'add' | 'flush' | 'nest' | 'nest and throw' | 'nest side by side' | 'commit' | 'rollback' | 'doom' | 'remove' | 'read' | 'pause'
type Ending = 'return' | 'return text' | 'throw' | 'catch and answer 409' | 'answer 500' | 'leave'

interface Program {
  readonly name: string
  readonly steps: Step[]
  readonly ending: Ending
}

const step = fc.constantFrom<Step>('add', 'add', 'add', 'flush', 'nest', 'nest and throw', 'nest side by side', 'commit', 'rollback', 'doom', 'remove', 'read', 'pause', 'pause')
const ending = fc.constantFrom<Ending>('return', 'return', 'return text', 'throw', 'catch and answer 409', 'answer 500', 'leave')
const programs = fc.array(fc.record({ steps: fc.array(step, { maxLength: 8 }), ending }), { minLength: 1, maxLength: 6 })

/** What must be in the table: the same steps on a set of labels instead of a database. */
function model ({ name, steps, ending }: Program): string[] {
  const committed: string[] = []
  let pending: string[] = []
  let isDoomed = false
  steps.forEach((step, n) => {
    const label = `${name}.${n}`
    if (['add', 'nest', 'nest side by side'].includes(step)) pending.push(label)
    if (step === 'rollback' || step === 'remove') pending = []
    if (step === 'doom') isDoomed = true
    if (step === 'commit' && !isDoomed) committed.push(...pending.splice(0))
  })
  const isCommitted = !isDoomed && ['return', 'return text', 'leave'].includes(ending)
  return isCommitted ? [...committed, ...pending] : committed
}

async function run (step: Step, label: string, request: FastifyRequest): Promise<void> {
  switch (step) {
    case 'add':
      db.session.create(Item, { label })
      return
    case 'flush': return await request.db.flush()
    case 'nest': return await request.db.transactional(async em => { em.create(Item, { label }) })
    case 'nest and throw':
      return await request.db.transactional(async em => {
        em.create(Item, { label })
        await em.flush()
        throw new Error('back')
      }).catch(() => {})
    case 'nest side by side':
      await Promise.allSettled([
        request.db.transactional(async em => {
          em.create(Item, { label: `${label} that throws` })
          await em.flush()
          throw new Error('back')
        }),
        request.db.transactional(async em => { em.create(Item, { label }) })
      ])
      return
    case 'commit': return await db.commit().catch((error: { code?: string }) => { if (error.code !== 'FST_SCOPED_DB_ROLLBACK_ONLY') throw error })
    case 'rollback': return await db.rollback()
    case 'doom': return db.setRollbackOnly()
    case 'remove': return await db.remove()
    case 'read': return await request.db.count(Item).then(() => {})
    case 'pause': return await new Promise(resolve => { setImmediate(resolve) })
  }
}

/** A client leaves when its handler has come to the end of its steps. */
const clients = new Map<string, Client>()

async function end ({ name, ending }: Program, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  switch (ending) {
    case 'return': return { name: 'object' }
    case 'return text': return 'text'
    case 'throw': throw new Error('thrown')
    case 'catch and answer 409': return await reply.code(409).send({ conflict: true })
    case 'answer 500':
      reply.code(500)
      return { failed: true }
    case 'leave': {
      const gone = once(request.raw.socket, 'close')
      clients.get(name)?.leave()
      await gone
      return { nobody: 'listens' }
    }
  }
}

function addRoute ({ app }: Stage): void {
  app.post('/', async (request, reply) => {
    const program = request.body as Program
    for (const [n, step] of program.steps.entries()) await run(step, `${program.name}.${n}`, request)
    return await end(program, request, reply)
  })
}

async function send (port: number, program: Program): Promise<void> {
  const body = JSON.stringify(program)
  const client = await rawClient(port, [])
  clients.set(program.name, client)
  client.socket.write(['POST / HTTP/1.1', 'Host: localhost', 'Connection: close', 'Content-Type: application/json', `Content-Length: ${body.length}`, '', body].join('\r\n'))
  await new Promise(resolve => client.socket.once('close', resolve))
}

onEachDatabase('any interleaving of requests leaves in the table what the model says', { plugin: { commitOnTeardown: true } }, async (t, stage) => {
  addRoute(stage)
  const { port } = await stage.listen()
  let round = 0
  await fc.assert(fc.asyncProperty(programs, async drawn => {
    round++
    const named = drawn.map((program, n): Program => ({ ...program, name: `${round}.${n}` }))
    await Promise.all(named.map(program => send(port, program)))
    await stage.assertClean()
    const found = (await stage.labels()).filter(label => label.startsWith(`${round}.`))
    assert.deepEqual(found, named.flatMap(model).sort())
  }), { numRuns: 40 })
  t.equal(round, 40)
})
