/** OpenTelemetry: the spans of @fastify/otel, and those of this plugin in them. */
import { FastifyOtelInstrumentation } from '@fastify/otel'
import { ItemSchema as Item } from '../support/entities.ts'
import { onEachDatabase } from '../support/on-each-database.ts'
import { telemetry } from '../support/opentelemetry.ts'

const automatic = { plugin: { commitOnTeardown: true } }

onEachDatabase('@fastify/otel: what is sent is in the span of its request', automatic, async (t, { app, assertClean, labels }) => {
  const { spans, tracers, tracer } = telemetry(t)
  const instrumentation = new FastifyOtelInstrumentation()
  instrumentation.setTracerProvider(tracers)
  await app.register(instrumentation.plugin())
  app.post('/:status', async function save (request, reply) {
    const { status } = request.params as { status: string }
    await request.db.insert(Item, { label: status, amount: 0 })
    await tracer.startActiveSpan('mine', async span => {
      await request.db.find(Item, { label: status })
      span.end()
    })
    return await reply.code(Number(status)).send({})
  })
  for (const [status, outcome] of [[200, 'commit'], [409, 'rollback']] as const) {
    t.equal((await app.inject({ method: 'POST', url: `/${status}` })).statusCode, status)
    await assertClean()
    const all = spans()
    const parentOf = (name: string) => all.find(span => span.name === name)?.parent
    t.same(['transaction', 'insert item', 'mine', 'select item', outcome].map(parentOf), ['request', 'handler - save', 'handler - save', 'mine', 'onSend - endScope'])
    t.match(all.find(({ name }) => name === 'transaction'), { attributes: { 'fastify_scoped_db.outcome': outcome, 'fastify_scoped_db.reason': `status ${status}` } })
    t.equal(parentOf('request'), undefined)
  }
  t.same(await labels(), ['200'])
})
