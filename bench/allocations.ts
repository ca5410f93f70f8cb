/**
 * Counts what one request of each workload makes, on SQLite, and prints it as JSON: `node bench/allocations.ts CONTENDER WORKLOAD...`, with the
 * flags of measure/allocations.ts. Nothing is timed: the same code gives the same figures everywhere, as long as nothing is optimized or
 * collected meanwhile.
 */
import { createHook } from 'node:async_hooks'
import { PerformanceObserver } from 'node:perf_hooks'
import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { request } from 'node:http'
import { once } from 'node:events'
import { load, type ContenderName } from './contenders/all.ts'
import { IN_MEMORY, optionsFor, seed } from './database.ts'
import { workloads, type Workload } from './workloads.ts'

// What V8 optimizes away depends on when it does.
setFlagsFromString('--no-opt')
setFlagsFromString('--no-maglev')

const WARM_UPS = 150
const REQUESTS = 100

const [name, ...names] = process.argv.slice(2) as [ContenderName, ...string[]]
const start = await load(name)
const contender = await start(optionsFor(IN_MEMORY, name))
if (contender.orm !== undefined) await seed(contender.orm)
const url = await contender.listen()
const collections = new PerformanceObserver(() => {})
collections.observe({ entryTypes: ['gc'] })

/** One after the other, over one connection. */
async function send (workload: Workload, count: number): Promise<void> {
  for (let n = 0; n < count; n++) {
    const { method, path, body } = workload.request(n)
    const sent = request(`${url}${path}`, { method, headers: body === undefined ? {} : { 'content-type': 'application/json' } }).end(body)
    const [response] = await once(sent, 'response')
    response.resume()
    await once(response, 'end')
  }
}

async function promisesOf (workload: Workload): Promise<number> {
  let promises = 0
  const hook = createHook({ init (_id, type) { if (type === 'PROMISE') promises++ } }).enable()
  await send(workload, REQUESTS)
  hook.disable()
  return promises / REQUESTS
}

/** @throws Error when there was not room enough for what they make */
async function bytesOf (workload: Workload): Promise<number> {
  gc?.()
  collections.takeRecords()
  const before = getHeapStatistics().used_heap_size
  await send(workload, REQUESTS)
  const bytes = getHeapStatistics().used_heap_size - before
  if (collections.takeRecords().length > 0) throw new Error(`${name}: ${workload.name}: memory was collected while it was counted`)
  return Math.round(bytes / REQUESTS)
}

const counted = []
for (const workload of workloads.filter(({ name }) => names.includes(name))) {
  await send(workload, WARM_UPS)
  const promises = await promisesOf(workload)
  await send(workload, WARM_UPS)
  counted.push({ contender: name, workload: workload.name, promises, bytes: await bytesOf(workload) })
}
console.log(JSON.stringify(counted))
process.exit()
