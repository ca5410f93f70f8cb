import type { CompiledQuery, DatabaseConnection } from 'kysely'
import { EventEmitter } from 'node:events'
import t from 'tap'
import { POSTGRESQL } from '../../../lib/drivers/postgresql.ts'

interface Submitted {
  callback?: () => void
  submit (connection: unknown): Error | null
  handleError (): void
}

/** As Kysely's is: it hands on to pg what it is given, and pg to that its connection. */
class PostgresConnection {
  readonly submitted: Submitted[] = []
  readonly #connection: unknown

  constructor (connection: unknown) {
    this.#connection = connection
  }

  async executeQuery ({ sql }: CompiledQuery): Promise<object> {
    const query = sql as unknown as Submitted
    query.callback = () => { this.submitted.push(query) }
    if (query.submit(this.#connection) !== null) query.handleError()
    return { rows: [] }
  }
}

const connect = (connection: unknown) => {
  const kysely = new PostgresConnection(connection)
  return { kysely, physical: POSTGRESQL.physical(kysely as unknown as DatabaseConnection) }
}

class PgConnection extends EventEmitter {
  isDestroyed = false
  readonly stream = { closed: false, destroy: () => { this.isDestroyed = true } }
}

void t.test('the status of a transaction is what the server has said last, and what an error means that it has just said', async t => {
  const pg = new PgConnection()
  const { kysely, physical } = connect(pg)
  t.match(kysely.submitted, { length: 1 }, 'a time limit is called off')
  t.equal(POSTGRESQL.physical(kysely as unknown as DatabaseConnection), physical)
  t.match(kysely.submitted, { length: 1 }, 'asked once')
  t.equal(physical?.status, undefined)
  for (const [status, event, message] of [['none', 'readyForQuery', { status: 'I' }], ['none', 'errorMessage', {}], ['open', 'readyForQuery', { status: 'T' }], ['failed', 'errorMessage', {}], ['failed', 'errorMessage', {}], ['failed', 'readyForQuery', { status: 'E' }], ['open', 'readyForQuery', { status: 'T' }]] as const) {
    pg.emit(event, message)
    t.equal(physical?.status, status, event)
  }
  let ended = 0
  physical?.onEnd(() => { ended++ })
  const closed = physical?.close().then(() => ended)
  t.ok(pg.isDestroyed)
  pg.emit('end')
  pg.emit('end')
  t.equal(await closed, 1, 'it has ended by then')
})

void t.test('one that has ended before anybody looked at it is closed', async t => {
  const pg = new PgConnection()
  pg.stream.closed = true
  await connect(pg).physical?.close()
  t.ok(pg.isDestroyed)
})

void t.test('what is no connection of pg is left alone', async t => {
  t.equal(connect({}).physical, undefined)
  t.equal(POSTGRESQL.physical({ executeQuery: () => t.fail('it was asked') } as unknown as DatabaseConnection), undefined)
})
