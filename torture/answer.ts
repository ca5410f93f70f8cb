/** What a client was told. */
export interface Answer {
  /** Undefined if no status line came. */
  readonly status: number | undefined
  /** The code in the body of an error reply. */
  readonly code?: string | undefined
  /** Whether the reply says that the `db.run()` inside was committed. */
  readonly hasRun?: boolean
  readonly retryAfter?: string | undefined
  /** Its beginning. */
  readonly body?: string
  /** Why there was no answer: the code of an error, or that the client has left. */
  readonly error?: string
  /** Whether the client went away as planned. */
  readonly hasLeft: boolean
  /** Whether the body of the answer has been read to its end. */
  readonly isRead: boolean
}

/** The `error` of a request that nobody has answered in all that time. */
export const NEVER_ANSWERED = 'never answered'
