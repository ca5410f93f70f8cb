import type { DatabaseFailure } from './failure.ts'
import type { Row, Value } from './store.ts'

/** What a server says of itself: MySQL 4.1 and later, transactions, several results, a database in the login. */
const CAPABILITIES = 0x1 | 0x2 | 0x8 | 0x200 | 0x2000 | 0x8000 | 0x10000 | 0x20000 | 0x40000 | 0x80000

const IN_TRANSACTION = 0x1
const AUTOCOMMIT = 0x2
const MORE_RESULTS = 0x8

/** One answer of a statement. */
export interface Result {
  readonly columns?: readonly string[]
  readonly rows?: readonly Row[]
  readonly affected?: number
  readonly changed?: number
  readonly insertId?: string
}

/** The protocol of MySQL, as far as a client that sends texts needs it. */
/** @param version what the server says that it is */
export function greeting (connection: number, version: string): Buffer {
  const content = Buffer.concat([
    Buffer.from([10]), Buffer.from(`${version}\0`), uint(connection, 4), Buffer.from('01234567\0'),
    uint(CAPABILITIES & 0xffff, 2), Buffer.from([45]), uint(AUTOCOMMIT, 2), uint(CAPABILITIES >>> 16, 2), Buffer.from([21]), Buffer.alloc(10),
    Buffer.from('012345678901\0'), Buffer.from('mysql_native_password\0')
  ])
  return packet(0, content)
}

/** @param sequence that of the first packet */
export function answer (results: readonly Result[], isOpen: boolean, sequence = 1): Buffer {
  const packets: Buffer[] = []
  const add = (content: Buffer): void => { packets.push(packet(sequence++, content)) }
  results.forEach((result, index) => {
    const status = uint((isOpen ? IN_TRANSACTION : AUTOCOMMIT) | (index + 1 < results.length ? MORE_RESULTS : 0), 2)
    const { columns, rows = [], affected = 0, changed = affected, insertId = '0' } = result
    if (columns === undefined) {
      add(Buffer.concat([Buffer.from([0]), length(affected), length(Number(insertId)), status, uint(0, 2), Buffer.from(`Rows matched: ${affected}  Changed: ${changed}  Warnings: 0`)]))
      return
    }
    const end = Buffer.concat([Buffer.from([0xfe]), uint(0, 2), status])
    add(length(columns.length))
    for (const name of columns) add(column(name))
    add(end)
    for (const row of rows) add(Buffer.concat(columns.map(name => cell(row[name] ?? null))))
    add(end)
  })
  return Buffer.concat(packets)
}

export function failed ({ number, state, message }: DatabaseFailure, sequence = 1): Buffer {
  return packet(sequence, Buffer.concat([Buffer.from([0xff]), uint(number, 2), Buffer.from(`#${state}${message}`)]))
}

/** Puts together what has come in pieces. */
export class PacketReader {
  #rest = Buffer.alloc(0)

  read (chunk: Buffer): Buffer[] {
    this.#rest = Buffer.concat([this.#rest, chunk])
    const packets: Buffer[] = []
    for (;;) {
      const size = this.#rest.length < 4 ? Infinity : 4 + this.#rest.readUIntLE(0, 3)
      if (this.#rest.length < size) return packets
      packets.push(this.#rest.subarray(4, size))
      this.#rest = this.#rest.subarray(size)
    }
  }
}

const NUMBERS = new Set(['id', 'part', 'counter', 'value', 'count', 'begun', 'open'])

function column (name: string): Buffer {
  const type = NUMBERS.has(name) ? 3 : 253
  return Buffer.concat([text('def'), text(''), text(''), text(''), text(name), text(name), Buffer.from([0x0c]), uint(45, 2), uint(1_000, 4), Buffer.from([type]), uint(0, 2), Buffer.from([0, 0, 0])])
}

function cell (value: Value): Buffer {
  return value === null ? Buffer.from([0xfb]) : text(value)
}

function text (value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([length(bytes.length), bytes])
}

function length (value: number): Buffer {
  return value < 251 ? Buffer.from([value]) : value < 0x10000 ? Buffer.concat([Buffer.from([0xfc]), uint(value, 2)]) : Buffer.concat([Buffer.from([0xfd]), uint(value, 3)])
}

function uint (value: number, bytes: number): Buffer {
  const buffer = Buffer.alloc(bytes)
  buffer.writeUIntLE(value, 0, bytes)
  return buffer
}

function packet (sequence: number, content: Buffer): Buffer {
  return Buffer.concat([uint(content.length, 3), Buffer.from([sequence & 0xff]), content])
}
