/** The server process: an application that uses the plugin as a user would. Started by torture/application.ts. */
import Fastify from 'fastify'
import type { AddressInfo } from 'node:net'
import { pathToFileURL } from 'node:url'
import type { FastifyPluginAsync } from 'fastify'
import type { ScopedDbOptions } from '../../plugin.ts'
import { connect } from './connect.ts'
import { inspect } from './inspect.ts'
import type { ApplicationSettings, FromApplication } from './messages.ts'
import { addRoutes } from './routes.ts'

const settings = JSON.parse(process.argv[2] ?? '{}') as ApplicationSettings
const { default: scopedDb } = await import(pathToFileURL(settings.plugin).href) as { default: FastifyPluginAsync<ScopedDbOptions> }

const orm = await connect(settings, tell)
const app = Fastify({
  // A connection that was busy when the server was told to close is kept open for so long afterwards.
  keepAliveTimeout: 5_000,
  logger: { level: 'info', file: settings.log },
  genReqId: request => String(request.headers['x-token'] ?? 'none')
})
await app.register(scopedDb, {
  orm,
  commitOnTeardown: true,
  acquireTimeout: settings.acquireTimeout,
  sessionOptions: request => ({ loggerContext: { token: request?.headers['x-token'], tells: request?.headers['x-tells'] } })
})
addRoutes(app, tell)

process.on('message', () => {
  void inspect(app, orm, settings.connections).then(state => tell({ type: 'state', state }))
})
process.on('SIGTERM', () => {
  void app.close().then(() => orm.close()).then(() => process.disconnect())
})

await app.listen({ port: 0, host: '127.0.0.1' })
tell({ type: 'listening', port: (app.server.address() as AddressInfo).port })

function tell (message: FromApplication): void {
  process.send?.(message)
}
