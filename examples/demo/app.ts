/**
 * The application: a notes API, as it would be anywhere else. Nothing here is for the show.
 */
import type { MikroORM } from '@mikro-orm/core'
import Fastify, { type FastifyInstance } from 'fastify'
import inspector from '../../inspector.ts'
import scopedDb, { type ScopedDbOptions } from '../../plugin.ts'
import { addNote, listNotes, saveNotes } from './notes.ts'

export interface AppOptions {
  readonly orm: MikroORM
  readonly sessionOptions: NonNullable<ScopedDbOptions['sessionOptions']>
  /** Where warnings and errors are logged, as lines of JSON. */
  readonly log: { write (line: string): void }
}

export async function buildApp ({ orm, sessionOptions, log }: AppOptions): Promise<FastifyInstance> {
  const app = Fastify({ logger: { level: 'warn', stream: log }, requestIdHeader: 'x-request-id' })
  await app.register(scopedDb, { orm, commitOnTeardown: true, sessionOptions })
  await app.register(inspector)
  addRoutes(app)
  return app
}

interface NewNote { Body: { text: string } }

const schema = {
  body: {
    type: 'object',
    required: ['text'],
    properties: { text: { type: 'string', minLength: 1, maxLength: 200 } }
  }
}

function addRoutes (app: FastifyInstance): void {
  app.get('/notes', async () => await listNotes())

  app.post<NewNote>('/notes', { schema }, async (request, reply) => {
    const note = addNote('you', request.body.text)
    reply.code(201)
    return note
  })

  app.post<NewNote>('/notes/fail', { schema }, async request => {
    const note = addNote('you', request.body.text)
    await saveNotes()
    throw new Error(`failed on purpose, after the INSERT of note ${note.id}`)
  })
}
