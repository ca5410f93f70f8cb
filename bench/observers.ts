/**
 * What each way to see statements costs: CPU of a request that sends one SELECT, on SQLite in memory, beside the same request that nobody sees.
 * `node bench/observers.ts` prints a table, in about a minute. Each has a process of its own, in turns; with a name, it is that process.
 */
import { MikroORM } from '@mikro-orm/core'
import { execFileSync } from 'node:child_process'
import { subscribe } from 'node:diagnostics_channel'
import { createWriteStream } from 'node:fs'
import { TracerProvider } from '@opentelemetry/sdk-trace'
import Fastify from 'fastify'
import inspector from '../inspector.ts'
import { ScopedDbInstrumentation } from '../opentelemetry.ts'
import scopedDb, { type ScopedDbOptions } from '../plugin.ts'
import { IN_MEMORY, optionsFor, seed } from './database.ts'
import { Author } from './entities.ts'
import { median, ratios } from './statistics.ts'

interface Observer {
  readonly title: string
  readonly options?: Omit<ScopedDbOptions, 'orm'>
  readonly start?: () => void
  readonly hasInspector?: true
}

const NOTHING = { warnings: false }

const OBSERVERS: Record<string, Observer> = {
  nobody: { title: 'nobody' },
  channel: { title: 'a listener on the statement channel', start: () => { subscribe('tracing:fastify-scoped-db.statement:asyncEnd', () => {}) } },
  echo: { title: '`echo`', options: { echo: true } },
  warnings: { title: '`warnings`', options: { warnings: true } },
  recordStatements: { title: '`recordStatements`', options: { recordStatements: true } },
  tagStatements: { title: '`tagStatements`', options: { tagStatements: true } },
  opentelemetry: { title: 'OpenTelemetry, spans that are sampled and not exported', start: () => { new ScopedDbInstrumentation().setTracerProvider(new TracerProvider({ spanProcessors: [] })) } },
  inspector: { title: 'the page', hasInspector: true }
}

const WARM_UP = 8_000
const REQUESTS = 4_000
const ROUNDS = 3

/** Microseconds of CPU for each request. */
async function measure ({ options, start, hasInspector }: Observer): Promise<number> {
  const orm = await MikroORM.init(optionsFor(IN_MEMORY, 'observers'))
  await seed(orm)
  const app = Fastify({ logger: { level: 'info', stream: createWriteStream('/dev/null') } })
  start?.()
  await app.register(scopedDb, { orm, ...NOTHING, ...options })
  if (hasInspector === true) await app.register(inspector)
  app.get<{ Params: { id: string } }>('/authors/:id', async request => await request.db.findOneOrFail(Author, Number(request.params.id)))
  const send = async (count: number) => { for (let n = 0; n < count; n++) await app.inject(`/authors/${1 + n % 50}`) }
  await send(WARM_UP)
  const before = process.cpuUsage()
  await send(REQUESTS)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / REQUESTS
}

const [name] = process.argv.slice(2)
if (name !== undefined) {
  console.log(await measure(OBSERVERS[name] as Observer))
  process.exit()
}

const measured = new Map<string, number[]>()
for (let round = 0; round < ROUNDS; round++) {
  for (const name of Object.keys(OBSERVERS)) {
    const stdout = execFileSync(process.execPath, [import.meta.filename, name], { encoding: 'utf8', env: { ...process.env, NODE_ENV: 'development' } })
    measured.set(name, [...measured.get(name) ?? [], Number(stdout)])
  }
}
console.log('| who looks | CPU of a request | beside nobody |\n| --- | --- | --- |')
const nobody = measured.get('nobody') as number[]
for (const [name, values] of measured) {
  const { median: middle, lower, upper } = ratios(values, nobody)
  console.log(`| ${OBSERVERS[name]?.title} | ${median(values).toFixed(0)} µs | ${middle.toFixed(2)} (${lower.toFixed(2)} to ${upper.toFixed(2)}) |`)
}
