import Fastify, { type FastifyReply } from 'fastify'
import t from 'tap'
import { isClosed } from '../../../lib/fastify/client-connection.ts'
import { errorStatus, snapshotSending, trailersOf } from '../../../lib/fastify/reply.ts'

void t.test('the client has gone when the reply, or its stream of HTTP/2, says so in one way or the other', t => {
  const raw = (state: object) => ({ destroyed: false, closed: false, ...state }) as FastifyReply['raw']
  for (const state of [{ destroyed: true }, { closed: true }, { stream: { destroyed: true } }]) t.equal(isClosed(raw(state)), true, JSON.stringify(state))
  for (const state of [{}, { stream: {} }, { stream: { destroyed: false } }]) t.equal(isClosed(raw(state)), false, JSON.stringify(state))
  t.end()
})

void t.test('an error that stops a commit is answered with its own status, if that is one of an error', t => {
  for (const statusCode of [400, 409, 503]) t.equal(errorStatus({ statusCode }), statusCode)
  for (const statusCode of [undefined, 200, 399, '409']) t.equal(errorStatus({ statusCode }), 500)
  t.end()
})

void t.test('of the head of a reply that was dropped nothing is left', async t => {
  const app = Fastify()
  app.get('/', async (_request, reply) => {
    reply.code(202).header('x-kept', 'first')
    const restore = snapshotSending(reply)
    reply.code(409).header('x-kept', 'other').header('x-dropped', 'yes')
    reply.raw.setHeader('x-by-hand', 'yes')
    reply.raw.statusMessage = 'By hand'
    restore()
    return ''
  })
  const { statusCode, statusMessage, headers } = await app.inject('/')
  t.same([statusCode, statusMessage], [202, 'Accepted'])
  t.notOk('x-by-hand' in headers)
  t.equal(headers['x-kept'], 'first')
  t.notOk('x-dropped' in headers)
})

void t.test('the trailers of a reply are those that were given and not taken back', async t => {
  const app = Fastify()
  const seen: string[][] = []
  app.get('/', async (_request, reply) => {
    seen.push(trailersOf(reply))
    reply.trailer('x-kept', async () => 'kept').trailer('x-dropped', async () => 'dropped').removeTrailer('x-dropped')
    seen.push(trailersOf(reply))
    return ''
  })
  await app.inject('/')
  t.same(seen, [[], ['x-kept']])
  t.same(trailersOf({} as FastifyReply), [], 'a Fastify that keeps them elsewhere')
})
