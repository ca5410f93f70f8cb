import type { Transaction } from '@mikro-orm/core'
import type { CompiledQuery, Kysely } from 'kysely'
import { STATEMENT } from '../diagnostics/channels.ts'
import type { Origin, StatementMessage } from '../diagnostics/messages.ts'
import type { SqlConnection } from './sql-connection.ts'

// MikroORM writes the parameters of a statement into its text before it sends it. Whoever is told of a statement is to have them apart.

/** A statement as MikroORM has it before it is sent. */
interface Prepared {
  readonly query: string
  readonly params: readonly unknown[]
  /** What is sent. */
  readonly formatted: string
}

interface Preparing {
  prepareQuery: (query: unknown, params?: unknown) => Prepared
}

/** A text and its parameters, and the place that has asked for it. */
export type QueryText = Pick<CompiledQuery, 'sql' | 'parameters'> & Pick<StatementMessage, 'place'>

/** What is sent in the same turn. */
let last: Prepared | undefined

const TEXTS = new WeakMap<object, QueryText>()

/** Has a connection remember what it prepares, for as long as somebody is to be told. */
export function watchPreparing (connection: SqlConnection): void {
  if (Object.hasOwn(connection, 'prepareQuery')) return
  const preparing = connection as unknown as Preparing
  const { prepareQuery } = preparing
  preparing.prepareQuery = (query, params) => {
    const prepared = prepareQuery.call(connection, query, params)
    if (STATEMENT.hasSubscribers) last = prepared
    return prepared
  }
}

/** A query is about to be sent: remembers its text, if it is MikroORM's, and its place, if whoever watches gives that. */
export function remember (query: CompiledQuery, watch?: Origin['watch']): void {
  const prepared = last
  last = undefined
  if (prepared === undefined && watch === undefined) return
  const { sql, parameters } = prepared?.formatted === query.sql ? { sql: prepared.query, parameters: prepared.params } : query
  TEXTS.set(query, { sql, parameters, place: watch?.(sql) })
}

/** Its text without its parameters. */
export function textOf (query: QueryText): QueryText {
  return TEXTS.get(query) ?? query
}

/** What MikroORM takes for a transaction, to send statements in, where that is one of Kysely's own. */
export function remembering (kysely: Kysely<unknown>): Transaction {
  return {
    executeQuery (query: CompiledQuery, ...rest: []) {
      remember(query)
      return kysely.executeQuery(query, ...rest)
    }
  }
}
