/**
 * Counts what one request makes, on SQLite, and prints it as JSON: `node bench/allocations.ts CONTENDER WORKLOAD`, with the flags of
 * measure/allocations.ts. Nothing is timed: the same code gives the same figures everywhere, as long as nothing is optimized or
 * collected meanwhile.
 */
import { createHook } from 'node:async_hooks'
import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { request } from 'node:http'
import { once } from 'node:events'
import { load, type SubjectName } from './contenders/all.ts'
import { optionsFor, seed } from './database.ts'
import { workloads, type Workload } from './workloads.ts'

// What V8 optimizes away depends on when it does.
setFlagsFromString('--no-opt')
setFlagsFromString('--no-maglev')

const WARM_UPS = 300

const [name, workloadName] = process.argv.slice(2) as [SubjectName, string]
const workload = workloads.find(({ name }) => name === workloadName) as Workload
const REQUESTS = workload.usesDatabase ? 200 : 1000
const start = await load(name)
const contender = await start(optionsFor('sqlite', name, undefined))
if (contender.orm !== undefined) await seed(contender.orm)
const url = await contender.listen()

/** One after the other, over one connection. */
async function send (count: number): Promise<void> {
  for (let n = 0; n < count; n++) {
    const { method, path, body } = workload.request(n)
    const sent = request(`${url}${path}`, { method, headers: body === undefined ? {} : { 'content-type': 'application/json' } }).end(body)
    const [response] = await once(sent, 'response')
    response.resume()
    await once(response, 'end')
  }
}

await send(WARM_UPS)

let promises = 0
const hook = createHook({ init (_id, type) { if (type === 'PROMISE') promises++ } }).enable()
await send(REQUESTS)
hook.disable()

await send(WARM_UPS)
gc?.()
const before = getHeapStatistics().used_heap_size
await send(REQUESTS)
const bytes = getHeapStatistics().used_heap_size - before

console.log(JSON.stringify({ promises: promises / REQUESTS, bytes: Math.round(bytes / REQUESTS) }))
process.exit()
