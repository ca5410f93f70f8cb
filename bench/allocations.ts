/**
 * Counts what one request that uses no database makes, and prints it as JSON: `node bench/allocations.ts CONTENDER`, with the flags of
 * guard.ts. Nothing is timed: the same code gives the same figures everywhere, as long as nothing is optimized or collected meanwhile.
 */
import { createHook } from 'node:async_hooks'
import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { request } from 'node:http'
import { once } from 'node:events'
import { load, type SubjectName } from './contenders/all.ts'
import { optionsFor } from './database.ts'

// What V8 optimizes away depends on when it does.
setFlagsFromString('--no-opt')
setFlagsFromString('--no-maglev')

const WARM_UPS = 300
const REQUESTS = 1000

const [name] = process.argv.slice(2) as [SubjectName]
const start = await load(name)
const contender = await start(optionsFor('sqlite', name, undefined))
const url = await contender.listen()

/** One after the other, over one connection. */
async function send (count: number): Promise<void> {
  for (let n = 0; n < count; n++) {
    const sent = request(`${url}/static`).end()
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
