import type { Protocol, ServerError } from './protocol.ts'

/** Of the greeting. */
const PROTOCOL_VERSION = 10

const ERROR = 0xff

const ERRORS = new Map<number, ServerError>([[1213, 'deadlock'], [1205, 'lock timeout'], [1040, 'no place']])

export const MYSQL_PACKETS: Protocol = {
  commit: query('commit'),
  rollback: query('rollback'),
  // What a node of a Galera cluster answers that has lost the others, which may have it all the same.
  unclear: failure(1180, 'HY000', 'Got error 6 "No such device or address" during COMMIT'),
  conflict: failure(1213, '40001', 'Deadlock found when trying to get lock; try restarting transaction'),
  // The greeting: length, sequence number, protocol version, server version up to a zero byte, connection id.
  connectionIn: answer => answer[4] === PROTOCOL_VERSION ? answer.readUInt32LE(answer.indexOf(0, 5) + 1) : undefined,
  errorIn: answer => answer[4] === ERROR ? ERRORS.get(answer.readUInt16LE(5)) : undefined
}

/** A packet that holds a statement: its length, its sequence number, the command COM_QUERY, the text. */
function query (text: string): Buffer {
  return Buffer.from([text.length + 1, 0, 0, 0, 3, ...Buffer.from(text)])
}

/** The packet of an error that answers a statement. */
function failure (number: number, state: string, message: string): Buffer {
  const content = Buffer.from([ERROR, number & 0xff, number >> 8, ...Buffer.from(`#${state}${message}`)])
  return Buffer.from([content.length, 0, 0, 1, ...content])
}
