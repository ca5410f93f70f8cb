/** An error that does not say whether the COMMIT was carried out, which it was, or was not; or what the loser of a conflict is told, at last, in a cluster. */
export type Forgery = 'carried out, unclear answer' | 'rolled back, unclear answer' | 'refused'

/** What faults want a server to say: that it has broken a deadlock, that a lock was not to be had in time, that it has no place for a connection. */
export type ServerError = 'deadlock' | 'lock timeout' | 'no place'

/** And that a COMMIT has lost a conflict, which only clusters say. */
export type Said = ServerError | 'conflict at COMMIT'

/** So much of a server's protocol as the proxy knows. */
export interface Protocol {
  readonly commit: Buffer
  readonly rollback: Buffer
  /** The errors that COMMIT is answered with in the place of the server: one after which nobody knows, and one that is a refusal. */
  readonly unclear: Buffer
  readonly conflict: Buffer
  /** The server's id for the connection, if this is where it tells it. */
  connectionIn (answer: Buffer): number | undefined
  /** Which of these errors begins here, if any does. */
  errorIn (answer: Buffer): ServerError | undefined
}
