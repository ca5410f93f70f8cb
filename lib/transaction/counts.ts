/** What goes on in one database, and what has gone on since it was registered: always counted, since to add one costs nothing. */
export class Counts {
  /** Who waits for a connection now. */
  waiting = 0
  /** All that scopes have sent. */
  statements = 0
  committed = 0
  rolledBack = 0
  /** The answer to COMMIT was lost. */
  unknown = 0
}
