import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Stage } from './on-each-database.ts'

// Each session has its own subscribers, for those that fail.
export const retry = { config: { db: { retry: { attempts: 3, backoff: 1 }, sessionOptions: { cloneEventManager: true } } } }

export const deadlock = () => Object.assign(new Error('Deadlock found when trying to get lock'), { code: 'ER_LOCK_DEADLOCK', errno: 1213, sqlState: '40001' })

export const AGAIN = 'a transient database error: rolled back, and done again'
export const LAST = 'a transient database error, after the last attempt'

export const post = async ({ app }: Stage, url = '/') => await app.inject({ method: 'POST', url })

/** Fails the first `times` times that it is asked. */
export function failing (times: number, error: () => unknown = deadlock) {
  let asked = 0
  return {
    get asked () { return asked },
    fail () {
      asked++
      if (asked <= times) throw error()
    }
  }
}

export type Handler = (request: FastifyRequest, reply: FastifyReply, fail: () => void) => unknown
