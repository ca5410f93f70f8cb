import autocannon, { type Instance, type Options, type Request, type Result } from 'autocannon'
import type { Workload } from '../workloads.ts'

/** What a load is: so many requests, over so many connections that each send one at a time. */
export interface Load {
  readonly workload: Workload
  readonly connections: number
  readonly requests: number
}

/** What came of a load. */
export interface Fired {
  readonly requests: number
  /** From the first request to the last answer, in seconds. */
  readonly seconds: number
  /** Of each answer, in milliseconds. */
  readonly latencies: readonly number[]
}

/** How many different requests a connection has, in turns. */
const VARIETY = 50

/**
 * Sends a load with autocannon. Its own figures are whole milliseconds, so the answers are timed one by one.
 * @throws Error when a request is answered with an error, or not at all
 */
export async function fire (url: string, { workload, connections, requests }: Load): Promise<Fired> {
  const latencies: number[] = []
  let last = 0
  let clients = 0
  const options: Options & { sampleInt: number } = {
    url,
    connections,
    amount: requests,
    // How often it looks whether it is at the end, in milliseconds.
    sampleInt: 20,
    timeout: 60,
    setupClient: client => client.setRequests(requestsOf(workload, clients++))
  }
  const instance = autocannon(options) as Instance & Promise<Result>
  const begun = performance.now()
  void instance.on('response', (_client, _status, _bytes, time) => {
    latencies.push(time)
    last = performance.now()
  })
  const { non2xx, errors, timeouts } = await instance
  if (non2xx + errors + timeouts > 0) throw new Error(`${workload.name} at ${connections} connections: ${non2xx} error replies, ${errors} failed, ${timeouts} came too late`)
  return { requests: latencies.length, seconds: (last - begun) / 1000, latencies }
}

/** Different connections ask for different rows, so that they do not wait for each other's locks. */
function requestsOf (workload: Workload, client: number): Request[] {
  return Array.from({ length: VARIETY }, (_, n) => {
    const { method, path, body } = workload.request(client * 211 + n * 17)
    return body === undefined ? { method, path } : { method, path, body, headers: { 'content-type': 'application/json' } }
  })
}
