import { debuglog } from 'node:util'

/** Writes a line to standard error for a step of a unit of work, where `NODE_DEBUG` has `fastify-scoped-db` in it; else it does nothing. */
export const debug = debuglog('fastify-scoped-db')
