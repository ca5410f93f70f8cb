/**
 * npm run demo: starts the application, plays out what this project is about, and goes on serving until Ctrl-C.
 *
 * DATABASE_URL  mysql:// or postgresql://user:password@host:port/database; SQLite in memory if unset
 * PORT          0 takes any free one; 3000 if unset
 */
import { once } from 'node:events'
import { buildApp } from './app.ts'
import { Client } from './client.ts'
import { Cues } from './cues.ts'
import { DemoDatabase } from './database.ts'
import { explain } from './errors.ts'
import { listen, portOf } from './listen.ts'
import { Observer } from './observer.ts'
import { play } from './play.ts'
import { setStage } from './stage.ts'
import { Timeline } from './timeline.ts'

/** How long requests may take to end after Ctrl-C, in milliseconds. */
const GRACE = 2_000

async function main (): Promise<void> {
  const stop = stopSignal()
  const port = portOf(process.env['PORT'])
  const database = await DemoDatabase.open(process.env['DATABASE_URL'])
  try {
    await serve(database, port, stop)
  } finally {
    await database.close()
  }
}

async function serve (database: DemoDatabase, port: number, stop: AbortSignal): Promise<void> {
  const timeline = new Timeline()
  const observer = new Observer(timeline)
  const cues = new Cues(stop)
  const app = await buildApp({ orm: database.orm, sessionOptions: observer.sessionOptions, log: observer.log })
  observer.watch(app)
  setStage(app, observer, cues)
  try {
    const address = await listen(app, port)
    // Only now, since a busy port may mean that another demo is using the table.
    await database.createTable()
    timeline.heading('fastify-scoped-db: one global dbSession, a session for every request', [
      `On ${database.description}. A scope is a request. A session is an EntityManager, shown by its id.`
    ])
    await play({ app, timeline, observer, client: new Client(address, stop), cues })
    timeline.heading(`Listening on ${address}`, tries(address))
    timeline.columns()
    if (!stop.aborted) await once(stop, 'abort')
  } catch (error) {
    // What was stopped halfway has failed, as it should.
    if (!stop.aborted) throw error
  } finally {
    // Browsers keep connections open that they never use.
    setTimeout(() => app.server.closeAllConnections(), GRACE).unref()
    await app.close()
  }
  timeline.print('\nClosed.')
}

function tries (address: string): string[] {
  const json = "-H 'content-type: application/json' -d"
  return [
    'Try these, and watch here what they do. Ctrl-C ends it.',
    `${address}/_db in a browser shows what has happened, and what comes.`,
    `curl ${address}/notes`,
    `curl ${address}/notes ${json} '{"text":"hello"}'`,
    `curl ${address}/notes/fail ${json} '{"text":"gone"}'`
  ]
}

/** Aborted by Ctrl-C. A second one ends the process at once. */
function stopSignal (): AbortSignal {
  const controller = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => controller.abort())
  return controller.signal
}

try {
  await main()
} catch (error) {
  console.error(`demo: ${explain(error)}`)
  process.exitCode = 1
}
