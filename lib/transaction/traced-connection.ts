import type { CompiledQuery, DatabaseConnection, QueryResult } from 'kysely'
import { STATEMENT } from '../diagnostics/channels.ts'
import { about, type Origin, type StatementMessage } from '../diagnostics/messages.ts'
import { Trace } from '../diagnostics/trace.ts'
import type { Combined, Driver } from '../drivers/contracts.ts'
import { withComment } from '../drivers/sql/comment.ts'
import { isAboutConnection } from '../drivers/errors.ts'
import { isRawQuery } from '../drivers/sql/raw-query.ts'
import { isTransactionControl, statementKind } from '../drivers/sql/statements.ts'
import type { Counts } from './counts.ts'
import { textOf, type QueryText } from './prepared-query.ts'

/** What some drivers have methods for, and no statements, and how it is told of. */
const COMMANDS = {
  beginTransaction: () => 'begin',
  commitTransaction: () => 'commit',
  rollbackTransaction: (name?: string) => name === undefined ? 'rollback' : `rollback to ${name}`,
  savepoint: (name?: string) => `savepoint ${name}`,
  releaseSavepoint: (name?: string) => `release savepoint ${name}`,
  rollbackToSavepoint: (name?: string) => `rollback to ${name}`
}

type Commands = { [Name in keyof typeof COMMANDS]?: (name?: string) => Promise<unknown> }

/** Who has a connection now. */
export interface ConnectionHolder {
  readonly owner: { readonly origin?: Origin }
  readonly driver: Driver
  readonly counts: Counts
  /** Whether what is sent on it is inside a transaction. */
  readonly isInTransaction: boolean
}

/** A connection whose statements are told of, and tagged: all that is sent to a database by any way comes to it, BEGIN and COMMIT included. */
export class TracedConnection {
  /** Undefined when nobody has it. */
  holder: ConnectionHolder | undefined
  readonly #hasCommands: boolean
  readonly #send: (query: CompiledQuery) => Promise<QueryResult<unknown>>

  private constructor (connection: DatabaseConnection & Commands) {
    this.#hasCommands = connection.beginTransaction !== undefined
    const { executeQuery, streamQuery } = connection
    this.#send = async query => await executeQuery.call(connection, query)
    connection.executeQuery = <R>(query: CompiledQuery, ...rest: []) => {
      const trace = this.#trace(query)
      const result = executeQuery.call(connection, this.tagged(query), ...rest) as Promise<QueryResult<R>>
      return trace === undefined ? result : answered(trace, result)
    }
    connection.streamQuery = <R>(query: CompiledQuery, ...rest: [number]) => {
      const trace = this.#trace(query)
      const rows = streamQuery.call(connection, this.tagged(query), ...rest) as AsyncIterableIterator<QueryResult<R>>
      return trace === undefined ? rows : tracedRows(rows, trace)
    }
    for (const name of Object.keys(COMMANDS) as (keyof Commands)[]) {
      const command = connection[name]
      if (command !== undefined) connection[name] = given => this.#tell(COMMANDS[name](given), () => command.call(connection, given))
    }
  }

  /** The same for a connection each time. */
  static of (connection: DatabaseConnection): TracedConnection {
    let traced = KNOWN.get(connection)
    if (traced === undefined) {
      traced = new TracedConnection(connection)
      KNOWN.set(connection, traced)
    }
    return traced
  }

  /** Runs what begins or ends a transaction, and tells of it where nothing of it is seen otherwise. */
  command<T> (sql: string, run: () => Promise<T>): Promise<T> {
    return this.holder?.driver.begins === 'hidden' && !this.#hasCommands ? this.#tell(sql, run) : run()
  }

  /** Sends several statements as one query. Each is told of by itself, and the time is that of the last. */
  sendTogether (statements: readonly CompiledQuery[], query: CompiledQuery, answer: Combined['answer']): Promise<QueryResult<unknown> | undefined> {
    const result: Promise<QueryResult<unknown> | undefined> = this.#send(query).then(result => answer<unknown>(result))
    const traces = statements.map(statement => this.#trace(statement)).filter(trace => trace !== undefined)
    return traces.length === 0 ? result : answeredTogether(traces, result)
  }

  #tell<T> (sql: string, run: () => Promise<T>): Promise<T> {
    const trace = this.#trace({ sql, parameters: [] })
    return trace === undefined ? run() : answered(trace, run())
  }

  /** As it is sent: what has to know what it is has known that before. */
  tagged (query: CompiledQuery): CompiledQuery {
    const tag = this.holder?.owner.origin?.tag
    return tag === undefined || isRawQuery(query) ? query : { ...query, sql: withComment(query.sql, tag) }
  }

  #trace (query: QueryText): Trace<StatementMessage> | undefined {
    const { holder } = this
    const origin = holder?.owner.origin
    if (holder === undefined || origin === undefined) return undefined
    holder.counts.statements++
    return STATEMENT.hasSubscribers ? begin(query, origin, holder) : undefined
  }
}

const KNOWN = new WeakMap<DatabaseConnection, TracedConnection>()

function begin (query: QueryText, origin: Origin, { driver, isInTransaction }: ConnectionHolder): Trace<StatementMessage> {
  const { sql, parameters, place } = textOf(query)
  const kind = isTransactionControl(query.sql) || isRawQuery(query) ? 'control' : statementKind(query.sql, driver.functions)
  return new Trace(STATEMENT, { ...about(origin), sql, parameters, place, kind, inTransaction: isInTransaction })
}

async function answered<Answer> (trace: Trace<StatementMessage>, result: Promise<Answer>): Promise<Answer> {
  try {
    const answer = await result
    trace.end({ rows: trace.message.kind === 'control' ? undefined : rowsOf(answer as QueryResult<unknown> | undefined) })
    return answer
  } catch (error) {
    trace.end({ error })
    throw error
  }
}

/** What takes the time is the last one, and what fails, unless the connection does. */
async function answeredTogether<Answer> (traces: readonly Trace<StatementMessage>[], result: Promise<Answer>): Promise<Answer> {
  const [last, ...others] = traces.toReversed()
  const over = (error?: unknown) => { for (const trace of others.toReversed()) trace.end({ duration: 0, error: isAboutConnection(error) ? error : undefined }) }
  result.then(() => { over() }, over)
  return await answered(last as Trace<StatementMessage>, result)
}

/** A stream is over with its last row, or when its reader leaves. */
function tracedRows<R> (rows: AsyncIterableIterator<QueryResult<R>>, trace: Trace<StatementMessage>): AsyncIterableIterator<QueryResult<R>> {
  let count = 0
  const over = (error?: unknown) => { trace.end({ rows: count, error }) }
  return {
    async next () {
      try {
        const row = await rows.next()
        if (row.done === true) over()
        else count += row.value.rows.length
        return row
      } catch (error) {
        over(error)
        throw error
      }
    },
    return: () => (rows as AsyncGenerator<QueryResult<R>>).return(undefined).finally(over),
    [Symbol.asyncIterator] () { return this }
  }
}

/** Some drivers say of a read that it has affected none. */
function rowsOf (answer: QueryResult<unknown> | undefined): number | undefined {
  return answer && Math.max(Number(answer.numAffectedRows ?? 0n), answer.rows.length)
}
