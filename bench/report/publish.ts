import { writeFile } from 'node:fs/promises'
import type { DatabaseKind } from '../database.ts'
import type { Results } from '../results.ts'
import { pages } from './pages.ts'
import { plot } from './plot.ts'

const PLOTS: Record<DatabaseKind, URL> = {
  mariadb: new URL('../../docs/performance.svg', import.meta.url),
  sqlite: new URL('../performance-sqlite.svg', import.meta.url)
}

/** Writes the pages, and draws the plots in them. */
export async function publish (results: Results): Promise<void> {
  for (const { file, text } of await pages(results)) await writeFile(file, text)
  for (const [database, file] of Object.entries(PLOTS)) {
    const shown = results.throughput?.filter(series => series.database === database && series.connections === 50) ?? []
    if (shown.length > 0) await writeFile(file, await plot(shown))
  }
}
