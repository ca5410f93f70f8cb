/**
 * The routes of the play. What they do with notes is what any route would; the cues make them overlap, and `tell` says
 * what happens.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { once } from 'node:events'
import type { Cues } from './cues.ts'
import { addNote, listNotes, saveNotes, unsavedNotes } from './notes.ts'
import type { Observer } from './observer.ts'

const plainMikroOrm = { db: { commitOnTeardown: false } }
const cancelling = { db: { commitOnTeardown: true, cancelOnAbort: true } }

export function setStage (app: FastifyInstance, observer: Observer, cues: Cues): void {
  const tell = observer.tell.bind(observer)

  app.post('/play/first', { config: plainMikroOrm }, async request => {
    addNote('first', 'added, never committed')
    tell(request, `adds a note; unwritten in this session: ${unsavedNotes()}`)
    cues.give('first has added')
    await cues.given('second is over')
    tell(request, `goes on; unwritten in this session: ${unsavedNotes()}; ends without flush()`)
    return 'done'
  })

  app.post('/play/second', { config: plainMikroOrm }, async (request, reply) => {
    tell(request, `begins; unwritten in this session: ${unsavedNotes()}`)
    addNote('second', 'added and committed')
    await saveNotes()
    tell(request, 'adds a note, and flush() commits it')
    reply.code(201)
    return 'done'
  })

  app.post('/play/third', async request => {
    const note = addNote('third', 'written, then the handler failed')
    await saveNotes()
    tell(request, `adds note ${note.id} and writes it with flush(); this request sees: ${await authors()}`)
    throw new Error('the third request fails halfway')
  })

  app.post('/play/fourth', leaveMeAlone)
  app.post('/play/fifth', { config: cancelling }, leaveMeAlone)

  async function leaveMeAlone (request: FastifyRequest, reply: FastifyReply): Promise<string> {
    const note = addNote(request.id, 'written, then the client went away')
    await saveNotes()
    tell(request, `adds note ${note.id} and writes it with flush(); then waits`)
    cues.give(`${request.id} is waiting`)
    await once(reply.raw, 'close')
    tell(request, 'the handler goes on, to add a second note')
    addNote(request.id, 'written after the client went away')
    await saveNotes()
    reply.code(201)
    return 'done'
  }
}

async function authors (): Promise<string> {
  return (await listNotes()).map(note => note.author).join(', ')
}
