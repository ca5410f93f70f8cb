/** What becomes of a transaction in which a statement fails. */
export type Then = 'nothing' | 'rollback' | 'close'

/** An error that a server answers with. */
export class DatabaseFailure extends Error {
  readonly number: number
  readonly state: string
  readonly then: Then

  constructor (number: number, state: string, message: string, then: Then = 'nothing') {
    super(message)
    this.number = number
    this.state = state
    this.then = then
  }
}

/** What somebody is told whose statement was killed. */
export function interrupted (): DatabaseFailure {
  return new DatabaseFailure(1317, '70100', 'Query execution was interrupted')
}

/** @param then the transaction is rolled back at once, unless it was only at its end that this came up */
export function deadlock (): DatabaseFailure {
  return new DatabaseFailure(1213, '40001', 'Deadlock found when trying to get lock; try restarting transaction', 'rollback')
}
