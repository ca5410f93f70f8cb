import type { Log } from './types.ts'

/**
 * The state after a transition. One that the table does not have is a fault in this package: an error in tests, and in production a line
 * in the log, since a reply that goes out is worth more than a state that is right.
 * @param transitions where each state can lead to
 * @param owner whose log is told: looked for only then
 * @throws Error where `NODE_ENV` is `test`
 */
export function transition<State extends string> (transitions: Readonly<Record<State, readonly State[]>>, from: State, to: State, owner: { readonly log: Pick<Log, 'error'> }): State {
  if (transitions[from].includes(to)) return to
  const err = new Error(`fastify-scoped-db: there is no transition from "${from}" to "${to}"`)
  if (process.env['NODE_ENV'] === 'test') throw err
  owner.log.error({ err }, 'a fault in fastify-scoped-db: please report it')
  return from
}
