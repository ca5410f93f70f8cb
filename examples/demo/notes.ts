/**
 * What the application does with notes, far from Fastify: nothing here takes a request or a session as an argument.
 */
import { db } from '../../plugin.ts'
import { Note } from './entities.ts'

/** Kept once for all requests. Each request that uses it works on a session of its own. */
const dbSession = db.session

export function addNote (author: string, text: string): Note {
  return dbSession.create(Note, { author, text })
}

/** Writes what this request has added. Whether that commits too is for the route's `commitOnTeardown` to say. */
export async function saveNotes (): Promise<void> {
  await dbSession.flush()
}

export async function listNotes (): Promise<Note[]> {
  return await dbSession.findAll(Note, { orderBy: { id: 'asc' } })
}

/** How many notes this request has added and not written yet. */
export function unsavedNotes (): number {
  return dbSession.getUnitOfWork().getPersistStack().size
}
