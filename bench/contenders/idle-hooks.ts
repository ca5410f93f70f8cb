import { AsyncLocalStorage } from 'node:async_hooks'
import Fastify from 'fastify'
import type { StartContender } from './contender.ts'
import { served } from './served.ts'

/** Fastify with a hook that does nothing at each stage at which every route has hooks of the plugin: what those cost by themselves. */
export const idleHooks: StartContender = async () => {
  const app = Fastify()
  const storage = new AsyncLocalStorage()
  app.addHook('onRequest', (request, _reply, done) => { storage.run(request, done) })
  app.addHook('preSerialization', (_request, _reply, _payload, done) => { done() })
  app.addHook('onSend', (_request, _reply, _payload, done) => { done() })
  return served(app, undefined)
}
