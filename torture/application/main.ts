/** The server process: an application that uses the plugin as a user would. Started by torture/application.ts. */
import Fastify from 'fastify'
import type { AddressInfo } from 'node:net'
import { pathToFileURL } from 'node:url'
import type { FastifyPluginAsync } from 'fastify'
import type { ScopedDbOptions } from '../../plugin.ts'
import { connect } from './connect.ts'
import { Descriptors } from './descriptors.ts'
import { inspect } from './inspect.ts'
import { SECOND, type ApplicationSettings, type FromApplication } from './messages.ts'
import { addRoutes } from './routes/all.ts'
import { addWorkAfterwards } from './work-afterwards.ts'

const settings = JSON.parse(process.argv[2] ?? '{}') as ApplicationSettings
const { default: scopedDb } = await import(pathToFileURL(settings.plugin).href) as { default: FastifyPluginAsync<ScopedDbOptions> }

// MikroORM writes here of what cannot be converted, before it throws.
const { error: write } = console
console.error = (...texts: unknown[]) => { if (!String(texts[0]).startsWith('JIT runtime error: ')) write(...texts) }

const orm = await connect(settings, settings.dbName, tell)
const second = await connect(settings, settings.secondDbName, tell)
const app = Fastify({
  // A connection that was busy when the server was told to close is kept open for so long afterwards.
  keepAliveTimeout: 5_000,
  logger: { level: 'info', file: settings.log },
  genReqId: request => String(request.headers['x-token'] ?? 'none')
})
const options: Partial<ScopedDbOptions> = {
  commitOnTeardown: true,
  acquireTimeout: settings.acquireTimeout,
  sessionOptions: request => ({ loggerContext: { token: request?.headers['x-token'], tells: request?.headers['x-tells'] } })
}
await app.register(scopedDb, { ...options, orm })
await app.register(scopedDb, { ...options, orm: second, name: SECOND })
addWorkAfterwards(app, tell)
addRoutes(app, tell, settings)

process.on('message', () => {
  void inspect(app, [orm, second], settings.connections, descriptors).then(state => tell({ type: 'state', state }))
})
process.on('SIGTERM', () => {
  void app.close().then(async () => await Promise.all([orm.close(), second.close()]))
    .then(() => process.send?.({ type: 'stopped' } satisfies FromApplication, () => process.disconnect()))
})

await app.listen({ port: 0, host: '127.0.0.1' })
const descriptors = await Descriptors.watch(app, settings.payload)
tell({ type: 'listening', port: (app.server.address() as AddressInfo).port })

function tell (message: FromApplication): void {
  process.send?.(message)
}
