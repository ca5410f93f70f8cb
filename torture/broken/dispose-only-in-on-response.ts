import { handWritten } from './hand-written.ts'

/** Leaks the session of every client that goes away, since Fastify does not call `onResponse` then. */
export default handWritten({ disposes: 'in onResponse' })
