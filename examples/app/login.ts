import type { FastifyReply, FastifyRequest } from 'fastify'
import { createHash, randomBytes } from 'node:crypto'
import { db } from '../../plugin.ts'
import { User } from './entities.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who has sent the request: an entity of its session, as any other. */
    user: User
  }
}

/** An onRequest hook: finds the user by `authorization: Bearer TOKEN`. */
export async function login (request: FastifyRequest, reply: FastifyReply) {
  const [, token = ''] = /^Bearer (\S+)$/i.exec(request.headers.authorization ?? '') ?? []
  const user = await db.session.findOne(User, { tokenHash: hash(token) })
  if (user === null) {
    return await reply.code(401).header('www-authenticate', 'Bearer').send(new Error('This needs the token of a user'))
  }
  request.user = user
}

/** Gives the token of the new user, which nobody can find out any more: the database has only its hash. */
export async function addUser (name: string): Promise<string> {
  const token = randomBytes(24).toString('hex')
  await db.run(async session => { session.create(User, { name, tokenHash: hash(token) }) })
  return token
}

function hash (token: string): string {
  return createHash('sha256').update(token).digest('hex')
}
