/** What the tests say to a server in its own words. */
import type { EventEmitter } from 'node:events'
import type { Kind, SqlORM } from './databases.ts'

/** A client of the driver's pool, as the pool gives it away: what is sent on it can be changed. */
export interface NativeClient {
  query: (...args: never[]) => unknown
}

export interface Dialect {
  /** An expression that takes so many seconds. */
  sleep (seconds: number): string
  /** What that gives. */
  readonly slept: unknown
  /** An expression for the name that the server has for the connection. */
  readonly connectionId: string
  /** Statements that end a connection, and what runs on one. */
  kill (id: number): string
  cancel (id: number): string
  /** A query for the connections on which such a text runs, as `id`: it has one parameter, a pattern of `like`. */
  readonly running: string
  /** A query for the name of the database, as `name`. */
  readonly databaseName: string
  /** A database that every server has. */
  readonly otherDatabase: string
  /** What the server says when a table is not there. */
  readonly noSuchTable: RegExp
  /** What the driver says of a connection that was lost under a statement. */
  readonly lost: object
  /** What it says of a deadlock. */
  readonly deadlock: object
  /** A statement that makes a function `name(what)` which writes that into `item`. */
  functionThatWrites (name: string): string
  /** A query for the schema that a function is in, as `name`. */
  readonly schemaName: string
  /** A statement after which its connection waits only shortly for a lock. */
  readonly shortLockWait: string
  /** Closes it, and the driver knows. */
  destroy (client: NativeClient): void
}

const MYSQL: Dialect = {
  sleep: seconds => `sleep(${seconds})`,
  slept: 0,
  connectionId: 'connection_id()',
  kill: id => `kill ${id}`,
  cancel: id => `kill query ${id}`,
  running: 'select id as id from information_schema.processlist where id <> connection_id() and info like ?',
  databaseName: 'select database() as name',
  otherDatabase: 'mysql',
  noSuchTable: /item' doesn't exist/,
  lost: { code: 'PROTOCOL_CONNECTION_LOST' },
  deadlock: { errno: 1213 },
  functionThatWrites: name => `create function ${name}(what varchar(20)) returns int modifies sql data begin insert into item (label, amount) values (what, 0); return 1; end`,
  schemaName: 'select database() as name',
  shortLockWait: 'set innodb_lock_wait_timeout = 1',
  destroy (client) { (client as unknown as { destroy (): void }).destroy() }
}

const POSTGRESQL: Dialect = {
  sleep: seconds => `pg_sleep(${seconds})`,
  slept: '',
  connectionId: 'pg_backend_pid()',
  kill: id => `select pg_terminate_backend(${id})`,
  cancel: id => `select pg_cancel_backend(${id})`,
  running: "select pid as id from pg_stat_activity where pid <> pg_backend_pid() and state = 'active' and query like ?",
  databaseName: 'select current_database() as name',
  otherDatabase: 'postgres',
  noSuchTable: /relation "item" does not exist/,
  lost: { code: 'ECONNRESET' },
  deadlock: { code: '40P01' },
  functionThatWrites: name => `create function ${name}(what text) returns int language sql volatile as $$ insert into item (label, amount) values (what, 0); select 1 $$`,
  schemaName: 'select current_schema() as name',
  shortLockWait: "set lock_timeout = '1s'",
  destroy (client) { void (client as unknown as { end (): Promise<void> }).end() }
}

/** Of SQLite there is none: whatever is asked of it throws. */
const NONE = new Proxy({}, { get () { throw new Error('SQLite is no server') } }) as Dialect

export function dialectOf (kind: Kind): Dialect {
  return { sqlite: NONE, mysql: MYSQL, postgresql: POSTGRESQL }[kind]
}

/** Waits until a statement runs whose text is like this, and gives the names of the connections on which it does. */
export async function untilRuns ({ kind, witness }: { kind: Kind, witness: SqlORM }, pattern: string): Promise<[number, ...number[]]> {
  for (;;) {
    const [first, ...others] = await running({ kind, witness }, pattern)
    if (first !== undefined) return [first, ...others]
    await new Promise(setImmediate)
  }
}

/** The names of the connections on which a statement runs whose text is like this. */
export async function running ({ kind, witness }: { kind: Kind, witness: SqlORM }, pattern: string): Promise<number[]> {
  const rows = await witness.driver.execute<{ id: number }[]>(dialectOf(kind).running, [pattern])
  return rows.map(({ id }) => Number(id))
}

/** The driver's pool, once there is one. It tells of what it gives away: `acquire`. */
export async function nativePool (orm: SqlORM): Promise<EventEmitter> {
  return await orm.driver.getConnection().getNativeClient() as EventEmitter
}

/** Lets a test change the text of what is sent on all clients that the pool gives away from now on. */
export async function rewrite (orm: SqlORM, change: (sql: string) => string): Promise<void> {
  const changed = new WeakSet<NativeClient>()
  ;(await nativePool(orm)).on('acquire', (client: NativeClient) => {
    if (changed.has(client)) return
    changed.add(client)
    const query = client.query as (...args: unknown[]) => unknown
    client.query = (...[text, ...rest]: unknown[]) => query.call(client, typeof text === 'string' ? change(text) : text, ...rest)
  })
}

/** Waits until somebody waits for the driver's pool. */
export async function untilQueued (orm: SqlORM): Promise<void> {
  const pool = await nativePool(orm) as { waitingCount?: number, _connectionQueue?: { length: number } } & EventEmitter
  while ((pool.waitingCount ?? pool._connectionQueue?.length) === 0) await new Promise(setImmediate)
}
