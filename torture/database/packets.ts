/** So much of MySQL's protocol as the proxy knows. */

/** Of the greeting. */
export const PROTOCOL_VERSION = 10

export const COMMIT = query('commit')
export const ROLLBACK = query('rollback')

/** A packet that holds a statement: its length, its sequence number, the command COM_QUERY, the text. */
function query (text: string): Buffer {
  return Buffer.from([text.length + 1, 0, 0, 0, 3, ...Buffer.from(text)])
}

/** The packet of an error that answers a statement. */
export function failure (number: number, state: string, message: string): Buffer {
  const content = Buffer.from([0xff, number & 0xff, number >> 8, ...Buffer.from(`#${state}${message}`)])
  return Buffer.from([content.length, 0, 0, 1, ...content])
}
