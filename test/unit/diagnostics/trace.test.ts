import { tracingChannel } from 'node:diagnostics_channel'
import t from 'tap'
import type { TraceMessage } from '../../../lib/diagnostics/messages.ts'
import { Trace } from '../../../lib/diagnostics/trace.ts'

void t.test('what is over is told of once', async t => {
  const channel = tracingChannel<unknown, TraceMessage>('fastify-scoped-db.test')
  const told: unknown[] = []
  channel.asyncEnd.subscribe(message => { told.push(message) })
  const trace = new Trace(channel, { scope: { kind: 'db.run' }, route: undefined })
  trace.end({})
  trace.end({ error: new Error('too late') })
  t.equal(told.length, 1)
  t.equal(told[0], trace.message)
  t.match(trace.message, { duration: Number, error: undefined })
})
