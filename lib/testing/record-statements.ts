import type { FastifyInstance } from 'fastify'
import { registeredDatabase } from '../application/registered.ts'
import { STATEMENT } from '../diagnostics/channels.ts'
import type { StatementMessage } from '../diagnostics/messages.ts'
import { wantPlaces } from '../diagnostics/place.ts'
import { SeenStatements } from './seen-statements.ts'

/** What MikroORM asks a server once in each process, whoever comes first. */
const ONCE = new Set(["show variables like 'auto_increment_increment'"])

/**
 * Records what the scopes of an application send to its databases while `fn` runs: requests, `db.run()` and `db.open()`.
 *
 * @param app with the plugin loaded: after `await app.register(...)` or `await app.ready()`
 * @throws FST_SCOPED_DB_NOT_REGISTERED when the application has no database (yet)
 * @throws what `fn` throws
 *
 * @example
 * const seen = await recordStatements(app, () => app.inject('/users'))
 * seen.assertCount(1)
 */
export async function recordStatements<Result> (app: Pick<FastifyInstance, 'db' | 'hasDecorator'>, fn: () => Result | PromiseLike<Result>): Promise<SeenStatements<Result>> {
  const { host } = registeredDatabase(app)
  const sent: StatementMessage[] = []
  const add = (told: unknown) => {
    const message = told as StatementMessage
    if (host.isOpen(message.scope) && !ONCE.has(message.sql)) sent.push(message)
  }
  const wantNoMore = wantPlaces()
  STATEMENT.start.subscribe(add)
  try {
    return new SeenStatements(await fn(), sent)
  } finally {
    STATEMENT.start.unsubscribe(add)
    wantNoMore()
  }
}
