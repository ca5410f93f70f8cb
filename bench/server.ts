/** One contender in a process of its own: `node --expose-gc bench/server.ts NAME DATABASE URL`, asked over IPC. */
import { constants, PerformanceObserver, type NodeGCPerformanceDetail, type PerformanceEntry } from 'node:perf_hooks'
import { load, type ContenderName } from './contenders/all.ts'
import { optionsFor, seed, type DatabaseKind } from './database.ts'
import { held } from './held.ts'
import type { Answers, Question } from './server-process.ts'

const [name, kind, url] = process.argv.slice(2) as [ContenderName, DatabaseKind, string]

const start = await load(name)
const contender = await start(optionsFor({ kind, url }, name))
if (contender.orm !== undefined) await seed(contender.orm)
const address = await contender.listen()

const scavenges: number[] = []
const observer = new PerformanceObserver(list => note(list.getEntries()))
observer.observe({ entryTypes: ['gc'] })

function note (entries: PerformanceEntry[]): void {
  for (const { detail, duration } of entries as (PerformanceEntry & { detail: NodeGCPerformanceDetail })[]) {
    if (detail.kind === constants.NODE_PERFORMANCE_GC_MINOR) scavenges.push(duration)
  }
}

const answers: { [Q in Question]: () => Answers[Q] | Promise<Answers[Q]> } = {
  address: () => address,
  usage: () => {
    note(observer.takeRecords())
    const { user, system } = process.cpuUsage()
    return { cpu: user + system, scavenges: scavenges.splice(0) }
  },
  heap: async () => {
    // Finalizers run between two collections, and let go of more.
    for (let n = 0; n < 3; n++) {
      gc?.()
      await new Promise(resolve => setTimeout(resolve, 20))
    }
    return process.memoryUsage().heapUsed
  },
  held: () => held.count,
  release: () => held.release()
}

process.on('message', ({ id, question }: { id: number, question: Question }) => {
  void (async () => process.send?.({ id, answer: await answers[question]() }))()
})
process.on('disconnect', () => { void contender.close().finally(() => process.exit()) })
process.send?.({ id: 0 })
