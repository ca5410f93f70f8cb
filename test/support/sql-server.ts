import type { MikroORM } from '@mikro-orm/mssql'
import { MssqlDialect } from 'kysely'
import { EventEmitter } from 'node:events'
import { createRequire } from 'node:module'
import type * as Tarn from 'tarn'
import type * as Tedious from 'tedious'

type Rows = readonly Record<string, unknown>[]

/** What a server answers to one statement: rows, or an error. */
export type Answer = (sql: string) => Rows | Error | undefined

type Done = (error?: Error, rows?: Rows) => void

interface Request extends EventEmitter {
  readonly sqlTextOrProcedure: string
  readonly callback: (error: Error | undefined, rowCount?: number) => void
}

/** Stands for a connection of tedious, with no server behind it: notes what it is asked to do. */
class Connection extends EventEmitter {
  closed = false
  readonly #sent: string[]
  readonly #answer: Answer

  constructor (sent: string[], answer: Answer) {
    super()
    this.#sent = sent
    this.#answer = answer
  }

  connect (done: Done): void {
    setImmediate(done)
  }

  beginTransaction (done: Done, _name?: string, isolationLevel?: number): void {
    this.#note(isolationLevel === undefined ? 'BEGIN' : `BEGIN ${isolationLevel}`, done)
  }

  saveTransaction (done: Done, name: string): void {
    this.#note(`SAVE ${name}`, done)
  }

  commitTransaction (done: Done): void {
    this.#note('COMMIT', done)
  }

  rollbackTransaction (done: Done, name?: string): void {
    this.#note(name === undefined ? 'ROLLBACK' : `ROLLBACK ${name}`, done)
  }

  execSql (request: Request): void {
    this.#note(request.sqlTextOrProcedure, (error, rows = []) => {
      for (const row of rows) request.emit('row', Object.entries(row).map(([colName, value]) => ({ metadata: { colName }, value })))
      request.callback(error, rows.length)
      request.emit('requestCompleted')
    })
  }

  cancel (): boolean {
    return false
  }

  close (): void {
    this.closed = true
    this.emit('end')
  }

  #note (what: string, done: Done): void {
    this.#sent.push(what)
    const answer = this.#answer(what)
    setImmediate(() => { if (answer instanceof Error) done(answer); else done(undefined, answer) })
  }
}

/** What @mikro-orm/mssql brings along. */
const requireFromDriver = createRequire(import.meta.resolve('@mikro-orm/mssql'))

/** A MikroORM for SQL Server, and what it sends, in the words of tedious. */
export async function connectSqlServer (options: object, answer: Answer): Promise<{ orm: MikroORM, sent: string[] }> {
  const { MikroORM } = await import('@mikro-orm/mssql')
  const tarn = requireFromDriver('tarn') as typeof Tarn
  const tedious = requireFromDriver('tedious') as typeof Tedious
  const sent: string[] = []
  const dialect = new MssqlDialect({
    validateConnections: false,
    tarn: { ...tarn, options: { min: 0, max: 4 } },
    tedious: { ...tedious, connectionFactory: () => new Connection(sent, answer) as never }
  })
  const orm = await MikroORM.init({ dbName: 'test', ensureDatabase: false, driverOptions: dialect, ...options })
  return { orm, sent }
}

/** An error of the server, as tedious gives it. */
export function sqlServerError (number: number, message: string): Error {
  return Object.assign(new Error(message), { code: 'EREQUEST', number, state: 1, class: 14 })
}
