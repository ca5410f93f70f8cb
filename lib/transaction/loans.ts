/** A pooled connection that a scope has now. */
export interface Loan {
  /** Who has it. */
  readonly borrower: object
  /** Asks the server to stop the statement that runs on this connection now, where the driver can. */
  cancel (): Promise<void>
  /**
   * Frees the connection's place in the pool, and closes it where its driver can, so that whatever is open on it ends on the
   * server. mysql2 can. Kysely's PostgreSQL driver has no way to: it asks the server to end the session, and that only
   * while a statement runs. Never waits for the server.
   */
  discard (): Promise<void>
}

/** The connections of a database that are lent now. */
export class Loans extends Set<Loan> {
  /** Asks the server to stop the statements that run now on what one borrower has. */
  async cancel (borrower: object): Promise<void> {
    await Promise.allSettled([...this].filter(loan => loan.borrower === borrower).map(loan => loan.cancel()))
  }

  /** Takes all of them back by force. */
  async discard (): Promise<void> {
    await Promise.allSettled([...this].map(loan => loan.discard()))
  }
}
