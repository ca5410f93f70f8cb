import type { StatementMessage } from '../diagnostics/messages.ts'

/** A statement that was sent, as `db.statements` has it. */
export type RecordedStatement = Readonly<Omit<StatementMessage, 'scope' | 'route' | 'database' | 'target'>>

/** How many are kept: a scope can be a job that runs for hours. */
const MOST = 1_000

/** The last statements of a scope, in each of its databases. */
export class RecordedStatements {
  readonly #all = new Map<string, RecordedStatement[]>()

  add ({ database, sql, parameters, kind, inTransaction, rows, duration, error, place }: StatementMessage): void {
    const statements = this.#all.get(database) ?? []
    this.#all.set(database, statements)
    if (statements.length === MOST) statements.shift()
    statements.push({ sql, parameters, kind, inTransaction, rows, duration, error, place })
  }

  of (database: string): RecordedStatement[] {
    return [...this.#all.get(database) ?? []]
  }
}
