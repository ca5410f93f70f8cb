/** Tries what could save the round trip of BEGIN, and prints what each does: `node test/support/mariadb.ts node bench/two-round-trips.ts`. */
import { createConnection, type Connection } from 'mysql2/promise'
import { mysqlUrl } from '../test/support/server-urls.ts'
import { tapWire } from './wire.ts'

const INSERT = 'insert into entry (n) values (1)'

const url = mysqlUrl()
if (url === undefined) throw new Error('MYSQL_URL says where the server is')
const wire = await tapWire(url)
const connection = await createConnection(wire.url)
await connection.query('create database if not exists two_round_trips')
await connection.query('use two_round_trips')
await connection.query('create or replace table entry (id int auto_increment primary key, n int)')

wire.take()
await Promise.all(['begin', INSERT, 'commit'].map(sql => connection.query(sql)))
console.log(`three statements given to mysql2 at once: ${wire.take().roundTrips} round trips`)

await attempt('two statements in one', `begin; ${INSERT}`)
await attempt('autocommit off for one statement', `set statement autocommit=0 for ${INSERT}`)
await attempt('a compound statement', `begin not atomic start transaction; ${INSERT}; end`)
await connection.query('rollback')

const pooled = await connect()
await pooled.query('set autocommit=0')
await pooled.query(INSERT)
pooled.destroy()
const [rows] = await connection.query('select count(*) as count from entry')
console.log(`a statement outside any transaction, on a connection left with autocommit off: ${(rows as { count: number }[])[0]?.count === 1 ? 'lost' : 'kept'}`)

await connection.query('drop database two_round_trips')
await connection.end()
await wire.stop()

async function attempt (name: string, sql: string): Promise<void> {
  try {
    const [result] = await connection.query(sql)
    console.log(`${name}: accepted, and the generated id is given as ${(result as { insertId: number }).insertId}`)
  } catch (error) {
    console.log(`${name}: refused: ${(error as Error).message.slice(0, 70)}`)
  }
}

async function connect (): Promise<Connection> {
  return await createConnection(`${wire.url}/two_round_trips`)
}
