import { createConnection, type RowDataPacket } from 'mysql2/promise'
import type { Told } from './client.ts'

/** What a node has. */
interface Contents {
  readonly keys: ReadonlySet<string>
  readonly sold: number
}

/** What of the orders with one answer is in the database. */
interface Row {
  readonly orders: number
  readonly there: number
  readonly isKept: boolean
}

const NOBODY_KNOWS = new Set(['500 FST_SCOPED_DB_COMMIT_UNKNOWN', 'no answer'])

/** Compares what clients were told with what is there, on each node. */
export async function compare (told: readonly Told[], nodes: readonly { url: string }[]): Promise<{ lines: string[], isKept: boolean }> {
  const contents = await Promise.all(nodes.map(async ({ url }) => await read(url)))
  const [{ keys, sold }] = contents as [Contents]
  const rows = countByAnswer(told, keys)
  const isSame = contents.every(other => other.sold === sold && other.keys.size === keys.size && [...keys].every(key => other.keys.has(key)))
  return {
    lines: [
      'answered                                      orders   of which are in the database',
      ...[...rows].sort().map(([answer, { orders, there, isKept }]) => `${answer.padEnd(44)}${String(orders).padStart(8)}${String(there).padStart(8)}${isKept ? '' : '   THE PROMISE IS BROKEN'}`),
      `sold: ${sold}, in ${keys.size} orders; ${isSame ? 'the same on each node' : 'THE NODES DIFFER'}`
    ],
    isKept: isSame && sold === keys.size && [...rows.values()].every(({ isKept }) => isKept)
  }
}

function countByAnswer (told: readonly Told[], keys: ReadonlySet<string>): Map<string, Row> {
  const rows = new Map<string, Row>()
  for (const { key, answer = 'no answer' } of told) {
    const { orders, there, isKept } = rows.get(answer) ?? { orders: 0, there: 0, isKept: true }
    const isThere = keys.has(key)
    rows.set(answer, { orders: orders + 1, there: there + Number(isThere), isKept: isKept && (NOBODY_KNOWS.has(answer) || isThere === answer.startsWith('2')) })
  }
  return rows
}

async function read (url: string): Promise<Contents> {
  const connection = await createConnection(`${url}/shop`)
  try {
    // What other nodes have committed comes first.
    await connection.query('set session wsrep_sync_wait = 1')
    const [orders] = await connection.query<RowDataPacket[]>('select client_key from orders')
    const [[article]] = await connection.query<RowDataPacket[]>('select sold from article')
    return { keys: new Set(orders.map(row => String(row['client_key']))), sold: Number(article?.['sold']) }
  } finally {
    await connection.end()
  }
}
