import type { StageOptions } from './on-each-database.ts'

const logged: string[] = []

/** What was sent to the database while `work` ran. */
export async function statementsOf (work: () => Promise<unknown>): Promise<string[]> {
  logged.length = 0
  await work()
  return logged.filter(line => /\bselect\b/.test(line))
}

/** The options of a test that asks for its statements. */
export const watched: StageOptions = { orm: { debug: ['query', 'query-params'], colors: false, logger: line => { logged.push(line) } } }
