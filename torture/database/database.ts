import type { SqlORM } from '../../test/support/databases.ts'
import { COUNTERS, CounterSchema, EntrySchema, TAKEN, UNREADABLE } from '../application/entities.ts'
import type { ApplicationSettings } from '../application/messages.ts'
import type { TorturedServer } from './server.ts'

/** Where the application under test keeps its data, seen from outside of it. */
export interface Database {
  /** How the application reaches it. */
  readonly settings: Pick<ApplicationSettings, 'database' | 'url' | 'dbName' | 'secondDbName'>
  /** The server, if there is one to be struck. */
  readonly server: TorturedServer | undefined
  /** What is committed. */
  read (): Promise<Contents>
  /** Resolves when whoever is asked for it sees all that is committed now. */
  caughtUp (): Promise<void>
  /** What no request owns any more: transactions that are open on the server. */
  leftovers (): Promise<string[]>
  close (): Promise<void>
}

export interface Contents {
  /** The parts that each token has, in ascending order; one that is there twice is here twice. */
  readonly parts: ReadonlyMap<string, readonly number[]>
  /** Each counter with its value, and the number of entries that name it. */
  readonly counters: readonly { id: number, value: number, named: number }[]
  /** What servers that have the same data do not have the same. */
  readonly differences?: readonly string[]
}

export const entities = [EntrySchema, CounterSchema]

/** Makes the tables, and what is in them before the first request. */
export async function prepare (orm: SqlORM): Promise<void> {
  await orm.schema.create()
  await orm.em.fork().insertMany(CounterSchema, Array.from({ length: COUNTERS }, (_, index) => ({ id: index + 1, value: 0 })))
  await orm.em.fork().insertMany(EntrySchema, [{ token: TAKEN, part: 0, mark: TAKEN }, { token: UNREADABLE, part: 0, note: { [UNREADABLE]: true } }])
}

/**
 * What is in both databases. Tokens of the second one say so.
 * @param joined how the database joins the parts of a token with commas
 */
export async function readContents ([orm, second]: readonly [SqlORM, SqlORM], joined = 'group_concat(part)'): Promise<Contents> {
  const em = orm.em.fork()
  const tokens = [...await readTokens(orm, joined), ...await readTokens(second, joined)]
  const counters = await em.execute<{ id: number, value: number, named: number }[]>('select id, value, (select count(*) from entry where counter = counter.id) as named from counter')
  return {
    parts: new Map(tokens.map(({ token, parts }) => [token, parts.split(',').map(Number).sort((a, b) => a - b)])),
    counters: counters.map(({ id, value, named }) => ({ id, value: Number(value), named: Number(named) }))
  }
}

async function readTokens (orm: SqlORM, joined: string): Promise<{ token: string, parts: string }[]> {
  return await orm.em.fork().execute(`select token, ${joined} as parts from entry where token not in (?, ?) group by token`, [TAKEN, UNREADABLE])
}
