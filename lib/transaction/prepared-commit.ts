/** What a COMMIT waits for. Asked only if there is something to commit. */
export type Ready = () => Promise<unknown>

/** A commit of which nothing is left to be found out but what the database says to COMMIT. It has the turn until it is left. */
export interface PreparedCommit {
  /** Whether there is a transaction. Otherwise carrying it out sends nothing. */
  readonly hasBegun: boolean
  /** Resolves when a statement waits for the turn. Asked only if there is a transaction. */
  contended (): Promise<void>
  /**
   * Sends COMMIT.
   * @param outcome given, it is the last: from here on the transaction is settled, and only plain reads come after it
   * @throws what the database says when it refuses; it is then rolled back
   */
  carryOut (outcome?: string): Promise<void>
  /** Lets statements through again. */
  leave (): void
  /** Tells MikroORM's subscribers that it is committed. */
  announceDone (): Promise<void> | undefined
}
