import type { SessionStore } from '@fastify/session'
import { defineEntity, p } from '@mikro-orm/core'
import { callbackify } from 'node:util'
import { db } from '../../../plugin.ts'

export const LoginSession = defineEntity({
  name: 'LoginSession',
  properties: { sid: p.string().primary(), data: p.text() }
})

/** Sessions of clients, in the same database: what a request that is rolled back has changed in them is rolled back as well. */
export const store: SessionStore = {
  get: callbackify(async (sid: string) => JSON.parse((await db.session.findOne(LoginSession, sid))?.data ?? 'null') as never),
  set: callbackify(async (sid: string, session: object) => { await db.session.upsert(LoginSession, { sid, data: JSON.stringify(session) }) }),
  destroy: callbackify(async (sid: string) => { await db.session.nativeDelete(LoginSession, sid) })
}
