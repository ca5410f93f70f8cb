import Fastify from 'fastify'
import type { StartContender } from './contender.ts'
import { served } from './served.ts'
import { held } from '../held.ts'

/** Fastify without a database plugin: the limit for routes that use none. */
export const bare: StartContender = async () => {
  const app = Fastify()
  app.get('/held', async () => await held.wait())
  return served(app, undefined)
}
