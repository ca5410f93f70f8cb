import { setTimeout as sleep } from 'node:timers/promises'
import type { Answer } from '../answer.ts'
import type { Field } from './fault.ts'

/** How long a route that does not use the database may take, in milliseconds. */
const PATIENCE = 10_000

/** Complains if a route that does not use the database is not served. */
export async function expectIdleServed ({ send, complain }: Pick<Field, 'send' | 'complain'>, meanwhile: string): Promise<void> {
  const idle = await Promise.race([send('idle').answered, sleep(PATIENCE)])
  if (idle?.status !== 200) complain(`while ${meanwhile} a route without a database got ${idle?.status ?? 'no answer'}`)
}

/**
 * Complains if nobody can write, although others could be served.
 * @param rounds how often it is tried, by requests for half of all connections, of which some may have bad luck
 */
export async function expectSomeThrough ({ connections, send, complain }: Pick<Field, 'connections' | 'send' | 'complain'>, meanwhile: string, rounds = 5): Promise<void> {
  let answers: Answer[] = []
  for (let round = 0; round < rounds; round++) {
    answers = await Promise.all(Array.from({ length: connections / 2 }, () => send('insert').answered))
    if (answers.some(({ status }) => status === 201)) return
  }
  complain(`while ${meanwhile} nobody can write: ${answers.map(({ status, code, error }) => `${status ?? error} ${code ?? ''}`).join(', ')}`)
}
