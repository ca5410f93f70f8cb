import Fastify from 'fastify'
import type { StartContender } from './contender.ts'
import { served } from './served.ts'

/** Fastify without a database plugin: the limit for routes that use none. */
export const bare: StartContender = async () => {
  return served(Fastify(), undefined)
}
