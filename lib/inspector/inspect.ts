import type { FastifyInstance } from 'fastify'
import { registeredDatabase } from '../application/registered.ts'
import { InspectorInProductionError } from '../errors/errors.ts'
import { inspectorSettings } from '../options/inspector-options.ts'
import { EventStreams } from './event-streams.ts'
import { Recorder } from './recorder.ts'
import { Ring } from './ring.ts'
import { addRoutes } from './routes.ts'

/**
 * Records what an application does from now on, and shows it.
 * @throws InspectorInProductionError, NotRegisteredError, InvalidOptionError, UnknownOptionError
 */
export function inspect (fastify: FastifyInstance, options: unknown): void {
  const settings = inspectorSettings(options)
  if (process.env['NODE_ENV'] === 'production' && settings.allow === undefined) throw new InspectorInProductionError()
  const { host } = registeredDatabase(fastify)
  const streams = new EventStreams()
  const ring = new Ring(settings, entry => { streams.changed(entry) })
  const recorder = new Recorder(ring, host)
  const unsubscribe = recorder.subscribe()

  fastify.addHook('onRequest', (request, _reply, done) => { recorder.requested(request); done() })
  fastify.addHook('onResponse', (request, reply, done) => { recorder.answered(request, reply.statusCode); done() })
  fastify.addHook('onRequestAbort', (request, done) => { recorder.abandoned(request); done() })
  // Fastify waits for all replies before onClose.
  fastify.addHook('preClose', async () => { streams.end() })
  fastify.addHook('onClose', async () => { unsubscribe() })

  void fastify.register(async pages => { addRoutes(pages, { ring, recorder, streams, host }, settings) }, { prefix: settings.prefix })
}
