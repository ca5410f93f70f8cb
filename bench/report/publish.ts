import { writeFile } from 'node:fs/promises'
import type { Results } from '../results.ts'
import { pages } from './pages.ts'
import { plotCpu, plotLatency } from './plot.ts'

const LATENCY = new URL('../../docs/performance.svg', import.meta.url)
const CPU = new URL('../cpu.svg', import.meta.url)

/** How many connections the plots are of. */
const CONNECTIONS = 16

/** Writes the pages, and draws the plots in them. */
export async function publish (results: Results): Promise<void> {
  for (const { file, text } of await pages(results)) await writeFile(file, text)
  if (results.latency !== undefined) await writeFile(LATENCY, await plotLatency(results.latency))
  if (results.throughput !== undefined) await writeFile(CPU, await plotCpu(results.throughput.filter(({ connections }) => connections === CONNECTIONS)))
}
