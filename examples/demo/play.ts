import type { FastifyInstance } from 'fastify'
import { ACTS } from './acts.ts'
import type { Client } from './client.ts'
import type { Cues } from './cues.ts'
import type { Note } from './entities.ts'
import { listNotes } from './notes.ts'
import type { Observer } from './observer.ts'
import type { Timeline } from './timeline.ts'

export interface Company {
  readonly app: FastifyInstance
  readonly timeline: Timeline
  readonly observer: Observer
  readonly client: Client
  readonly cues: Cues
}

/** Plays every act, one after the other, and then tells how it ended. */
export async function play ({ app, timeline, observer, client, cues }: Company): Promise<void> {
  for (const { title, plot, play } of ACTS) {
    timeline.heading(title, plot)
    timeline.columns()
    await play(client, cues)
    await observer.quiet()
  }
  // Outside any request, dbSession is the session of db.run().
  const notes = await app.db.run(async () => await listNotes())
  timeline.heading('In the table at the end', table(notes))
  timeline.heading('Why', ACTS.flatMap((act, index) => [`Act ${index + 1}. ${ending(act.requests, notes)}`, `       ${act.why}`]))
}

function table (notes: Note[]): string[] {
  const rows = notes.map(({ id, author, text }) => [String(id), author, text])
  return [['id', 'author', 'text'], ...rows].map(([id = '', author = '', text = '']) => `${id.padEnd(4)}${author.padEnd(8)}${text}`)
}

function ending (requests: readonly string[], notes: Note[]): string {
  const endings = requests.map(request => {
    const count = notes.filter(note => note.author === request).length
    return `"${request}" left ${count === 0 ? 'no note' : count === 1 ? '1 note' : `${count} notes`}`
  })
  return `${endings.join(', ')}.`
}
