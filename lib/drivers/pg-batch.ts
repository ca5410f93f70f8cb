import type { CompiledQuery } from 'kysely'
import type { Combined } from './contracts.ts'
import { isOneStatement } from './sql/text.ts'

/** pg's connection, as it gives it to whatever it sends: pg-cursor for one. */
export interface PgSender {
  query (text: string): void
}

/** What turns the text of a value into the value, by its type. */
export interface TypeParsers {
  getTypeParser (type: number, format: string): (text: string) => unknown
}

/** What Kysely takes of a result of pg's. */
interface Result {
  readonly command: string
  readonly rowCount: number
  readonly rows: object[]
}

interface Field {
  readonly name: string
  readonly dataTypeID: number
  readonly format: string
}

/** With a longer one the round trip is the least. */
const MAX_LENGTH = 65_536

const STATEMENT = /^\s*(?:select|insert|update|delete|with|merge)\b/i

/**
 * One simple query, which ends at its first error: as BEGIN makes a transaction of what the server would commit as a whole, nothing is committed by itself.
 * Only where there are no parameters, as a query with some is another one.
 * @param onBegun called when BEGIN, or a statement after it, has been carried out: an error comes before the server says what has become of the transaction
 */
export function batch (begin: readonly string[], query: CompiledQuery, types: TypeParsers, onBegun: () => void): Combined | undefined {
  const { sql } = query
  if (query.parameters.length > 0 || sql.length > MAX_LENGTH || !STATEMENT.test(sql) || !isOneStatement(sql)) return undefined
  const ahead = begin.map(one => `${one}; `).join('')
  // Kysely hands it on to pg.
  const sent: unknown = new Batch(ahead + sql, types, onBegun)
  return {
    query: { ...query, sql: sent as string },
    answer: result => result as never,
    // Where in the text it was: in no BEGIN.
    restore (error: { position?: string }) { if (error.position !== undefined) error.position = String(Number(error.position) - ahead.length) },
    hasBegun: undefined
  }
}

/** What pg submits in the place of a query of its own, and what is awaited in the place of its result: that of the last statement. No other one has rows. */
class Batch implements PromiseLike<Result> {
  /** Set by pg where there is a time limit. */
  callback?: (error?: unknown) => void
  readonly #text: string
  readonly #types: TypeParsers
  readonly #onBegun: () => void
  readonly #result = Promise.withResolvers<Result>()
  readonly #rows: (string | null)[][] = []
  #fields: readonly Field[] = []
  #tag = ''

  constructor (text: string, types: TypeParsers, onBegun: () => void) {
    this.#text = text
    this.#types = types
    this.#onBegun = onBegun
  }

  then: Promise<Result>['then'] = (...handlers) => this.#result.promise.then(...handlers)

  submit (connection: PgSender): null {
    connection.query(this.#text)
    return null
  }

  handleRowDescription ({ fields }: { readonly fields: readonly Field[] }): void {
    this.#fields = fields
  }

  handleDataRow ({ fields }: { readonly fields: (string | null)[] }): void {
    this.#rows.push(fields)
  }

  handleCommandComplete ({ text }: { readonly text: string }): void {
    this.#tag = text
    this.#onBegun()
  }

  handleReadyForQuery (): void {
    try {
      const tag = this.#tag.split(' ')
      const result = { command: String(tag[0]), rowCount: Number(tag.at(-1)), rows: this.#parsed() }
      this.callback?.()
      this.#result.resolve(result)
    } catch (error) {
      this.handleError(error as Error)
    }
  }

  handleError (error: Error): void {
    this.callback?.(error)
    this.#result.reject(error)
  }

  #parsed (): object[] {
    const columns = this.#fields.map(({ name, dataTypeID, format }) => ({ name, parse: this.#types.getTypeParser(dataTypeID, format) }))
    return this.#rows.map(row => Object.fromEntries(columns.map(({ name, parse }, index) => [name, row[index] == null ? null : parse(row[index])])))
  }
}
