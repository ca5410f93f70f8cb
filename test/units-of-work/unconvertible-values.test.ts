import { defineEntity, p } from '@mikro-orm/core'
import type { FastifyReply } from 'fastify'
import { db } from '../../plugin.ts'
import { onEachDatabase, type Stage } from '../support/on-each-database.ts'

const Note = defineEntity({ name: 'Note', properties: { id: p.integer().primary(), text: p.string(), data: p.json<unknown>().nullable() } })

/** JSON has no bigint: MikroORM throws when it looks whether the entity has changed. */
const UNCONVERTIBLE = { count: 1n }

const ENDINGS: [name: string, end: (reply: FastifyReply) => unknown, status: number, expected: string[]][] = [
  ['answers a value', () => 'ok', 500, ['kept']],
  ['answers 422', reply => reply.code(422).send('refused'), 422, ['kept']],
  ['throws', () => { throw Object.assign(new Error('mine'), { statusCode: 400 }) }, 400, ['kept']],
  ['has its changes committed by hand', async () => { await db.commit() }, 500, ['kept']],
  ['has its changes rolled back by hand', async () => { await db.rollback(); return 'ok' }, 200, ['kept']],
  ['takes it back', async () => { (await db.session.findOneOrFail(Note, 1)).data = null; return 'ok' }, 200, ['changed']]
]

async function textsOf ({ orm }: Stage): Promise<string[]> {
  return (await orm.em.fork().find(Note, {})).map(({ text }) => text)
}

for (const commitOnTeardown of [true, false]) {
  onEachDatabase(`a value that cannot be converted leaves nothing behind (commitOnTeardown: ${commitOnTeardown})`, { plugin: { commitOnTeardown }, orm: { entities: [Note] } }, async (t, stage) => {
    const { app, orm } = stage
    // MikroORM prints what it has generated each time that this fails.
    t.capture(console, 'error')
    await orm.config.getExtension<{ create (): Promise<void> }>('@mikro-orm/schema-generator')?.create()
    await orm.em.fork().insert(Note, { id: 1, text: 'kept', data: null })
    app.post<{ Params: { ending: number } }>('/:ending', async (request, reply) => {
      const note = await request.db.findOneOrFail(Note, 1)
      note.text = 'changed'
      note.data = UNCONVERTIBLE
      return await ENDINGS[request.params.ending]?.[1](reply)
    })
    const { port } = await stage.listen()
    for (const [ending, [name, , status, expected]] of ENDINGS.entries()) {
      const reply = await fetch(`http://127.0.0.1:${port}/${ending}`, { method: 'POST', signal: AbortSignal.timeout(5_000) })
      const byHand = !commitOnTeardown && !name.includes('committed')
      t.equal(reply.status, byHand && status === 500 ? 200 : status, name)
      t.same(await textsOf(stage), byHand ? ['kept'] : expected, name)
      t.equal(app.db.openScopes, 0, name)
    }
    await t.rejects(db.run(async session => { (await session.findOneOrFail(Note, 1)).data = UNCONVERTIBLE }, { commitOnTeardown: true }), 'and db.run() rejects')
  })
}
