/**
 * What has become of a reply:
 * - `awaited`: the handler runs, or a reply is on its way through the hooks.
 * - `flushing`: one waits for its flush.
 * - `sent`: one has gone out.
 * - `gone`: the client has left before one had.
 */
export type ReplyState = 'awaited' | 'flushing' | 'sent' | 'gone'

/** Where each state can lead to. docs/architecture.md has the same as a table of states and events. */
export const REPLY_TRANSITIONS: Readonly<Record<ReplyState, readonly ReplyState[]>> = {
  awaited: ['flushing', 'sent', 'gone'],
  flushing: ['awaited', 'sent', 'gone'],
  // HTTP/2 may say that a reply is closed before it says that it has gone out.
  gone: ['sent'],
  sent: []
}
