import type { Protocol, ServerError } from './protocol.ts'

const ERRORS = new Map<string | undefined, ServerError>([['40P01', 'deadlock'], ['55P03', 'lock timeout'], ['53300', 'no place']])

export const POSTGRESQL_PACKETS: Protocol = {
  commit: message('Q', 'commit\0'),
  rollback: message('Q', 'rollback\0'),
  unclear: failure('08007', 'the outcome of the transaction is unknown'),
  conflict: failure('40001', 'could not serialize access due to concurrent update'),
  connectionIn: answer => bodyOf('K', answer)?.readUInt32BE(0),
  errorIn: answer => ERRORS.get(/\0C(.{5})\0/.exec(bodyOf('E', answer)?.toString('latin1') ?? '')?.[1])
}

/** Its type, its length without that, its body. */
function message (type: string, body: string): Buffer {
  const head = Buffer.from(`${type}    `)
  head.writeUInt32BE(body.length + 4, 1)
  return Buffer.concat([head, Buffer.from(body)])
}

/** An error that answers a statement, and has ended its transaction. */
function failure (state: string, text: string): Buffer {
  return Buffer.concat([message('E', `SERROR\0VERROR\0C${state}\0M${text}\0\0`), message('Z', 'I')])
}

/** The body of the first message of this type; what arrives at once begins with a message, and may hold several. */
function bodyOf (type: string, answer: Buffer): Buffer | undefined {
  let at = 0
  while (at + 5 <= answer.length) {
    const end = at + 1 + answer.readUInt32BE(at + 1)
    if (answer[at] === type.charCodeAt(0)) return answer.subarray(at + 5, end)
    at = end
  }
  return undefined
}
