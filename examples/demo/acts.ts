import type { Client } from './client.ts'
import type { Cues } from './cues.ts'

/** A part of the play. */
export interface Act {
  readonly title: string
  /** What is going to happen. */
  readonly plot: readonly string[]
  readonly requests: readonly string[]
  /** Why it ends as it does. */
  readonly why: string
  readonly play: (client: Client, cues: Cues) => Promise<void>
}

export const ACTS: readonly Act[] = [
  {
    title: 'Act 1. Two overlapping requests, one module-level dbSession',
    plot: [
      'commitOnTeardown: false, which is plain MikroORM: flush() commits, and nothing else does.',
      '"first" adds a note and never commits. While it is open, "second" adds a note and commits.'
    ],
    requests: ['first', 'second'],
    why: 'dbSession was another session in each request, so the commit of "second" took nothing of "first" with it.',
    async play (client, cues) {
      await Promise.all([client.send('first'), secondWhileFirstIsOpen()])

      async function secondWhileFirstIsOpen (): Promise<void> {
        await cues.given('first has added')
        await client.send('second')
        cues.give('second is over')
      }
    }
  },
  {
    title: 'Act 2. A request that fails halfway',
    plot: [
      'commitOnTeardown: true, which makes the whole request one transaction.',
      '"third" adds a note, writes it with flush(), and then throws.'
    ],
    requests: ['third'],
    why: 'The answer was an error, so the transaction was rolled back, with the row that it had already written.',
    async play (client) {
      await client.send('third')
    }
  },
  {
    title: 'Act 3. A client that goes away',
    plot: [
      'commitOnTeardown: true. "fourth" writes a note. Its client goes away while the handler waits.',
      'The handler goes on and writes a second note.'
    ],
    requests: ['fourth'],
    why: 'The handler succeeded, so its work was committed, although nobody was there to be told.',
    async play (client, cues) {
      await client.sendAndLeave('fourth', cues.given('fourth is waiting'))
    }
  },
  {
    title: 'Act 4. The same, with cancelOnAbort: true',
    plot: ['"fifth" has the same handler as "fourth". Only the option of its route differs.'],
    requests: ['fifth'],
    why: 'The transaction was rolled back when the client went away, and the handler could write nothing after that.',
    async play (client, cues) {
      await client.sendAndLeave('fifth', cues.given('fifth is waiting'))
    }
  }
]
