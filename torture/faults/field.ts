import type { Answer } from '../answer.ts'
import type { Field } from './fault.ts'

/** How many requests are sent at a time, of which some may have bad luck. */
const TRIES = 4

/**
 * Complains if nobody can write, although others could be served.
 * @param rounds how often it is tried
 */
export async function expectSomeThrough ({ send, complain }: Pick<Field, 'send' | 'complain'>, meanwhile: string, rounds = 5): Promise<void> {
  let answers: Answer[] = []
  for (let round = 0; round < rounds; round++) {
    answers = await Promise.all(Array.from({ length: TRIES }, () => send('insert').answered))
    if (answers.some(({ status }) => status === 201)) return
  }
  complain(`while ${meanwhile} nobody can write: ${answers.map(({ status, code, error }) => `${status ?? error} ${code ?? ''}`).join(', ')}`)
}
