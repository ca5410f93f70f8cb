import type { SqlConnection } from './sql-connection.ts'

/** Which of several servers a session's statements are sent to: its primary, or a replica. That is found out before the first of them. */
export interface ConnectionSource {
  /** The one that was chosen. */
  readonly connection: SqlConnection
  /** Chooses, unless that is done. Never rejects. */
  choose (): Promise<void> | undefined
  /** Is told that a connection has led nowhere: the next may be one to another server. */
  readonly ledNowhere?: (error: Error) => void
}
