/** What the application under test has at most. */

/** Connections in each of its pools. */
export const CONNECTIONS = 8

/** How long it waits for one of them, in milliseconds. */
export const ACQUIRE_TIMEOUT = 1_000

/** How much earlier it may give up, when another attempt would come too late, in milliseconds. */
export const LAST_PAUSE = 250
