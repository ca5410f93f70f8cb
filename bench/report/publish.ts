import { readFile, writeFile } from 'node:fs/promises'
import type { Results } from '../results.ts'
import { plot } from './plot.ts'
import { tables } from './tables.ts'

const DOCS = new URL('../../docs/', import.meta.url)

/** Puts the tables into docs/performance.md, each between the marks that have its name, and draws the plots beside it. */
export async function publish (results: Results): Promise<void> {
  const page = new URL('performance.md', DOCS)
  let text = await readFile(page, 'utf8')
  for (const [name, table] of Object.entries(tables(results))) text = replaced(text, name, table)
  await writeFile(page, text)
  const { throughput = [] } = results
  for (const database of ['sqlite', 'mariadb']) {
    const shown = throughput.filter(series => series.database === database && series.connections === 50)
    if (shown.length > 0) await writeFile(new URL(`performance-${database}.svg`, DOCS), await plot(shown))
  }
}

/** @throws Error when the page has no place for the table */
function replaced (text: string, name: string, table: string): string {
  const [begin, end] = [`<!-- ${name} -->`, `<!-- end of ${name} -->`]
  const [from, to] = [text.indexOf(begin), text.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`docs/performance.md has no ${begin} and ${end}`)
  return `${text.slice(0, from + begin.length)}\n\n${table}\n\n${text.slice(to)}`
}
