import type { Answer } from '../answer.ts'
import type { Field } from './fault.ts'

/** How many requests are sent at a time, and how often, of which some may have bad luck. */
const TRIES = 4
const ROUNDS = 5

/** Complains if nobody can write, although others could be served. */
export async function expectSomeThrough ({ send, complain }: Pick<Field, 'send' | 'complain'>, meanwhile: string): Promise<void> {
  let answers: Answer[] = []
  for (let round = 0; round < ROUNDS; round++) {
    answers = await Promise.all(Array.from({ length: TRIES }, () => send('insert').answered))
    if (answers.some(({ status }) => status === 201)) return
  }
  complain(`while ${meanwhile} nobody can write: ${answers.map(({ status, code, error }) => `${status ?? error} ${code ?? ''}`).join(', ')}`)
}
