import { readFile } from 'node:fs/promises'
import type { Results } from '../results.ts'
import { summary } from './summary.ts'
import { tables } from './tables.ts'

const ROOT = new URL('../../', import.meta.url)

/** What is generated in each page, by the name of its place there. The text around it is written by hand, and has no figure of its own. */
const PAGES: Record<string, (results: Results) => Record<string, string | undefined>> = {
  'docs/performance.md': summary,
  'bench/report.md': tables
}

const NOT_MEASURED = 'Not measured: `npm run bench -- --all` does.'

/** A page of text, in its place and as it should be. */
export interface Page {
  readonly name: string
  readonly file: URL
  readonly text: string
  readonly isCurrent: boolean
}

/** The pages with what was measured, each piece between the marks that have its name. */
export async function pages (results: Results): Promise<Page[]> {
  return await Promise.all(Object.entries(PAGES).map(async ([name, pieces]) => {
    const file = new URL(name, ROOT)
    const before = await readFile(file, 'utf8')
    let text = before
    for (const [place, piece] of Object.entries(pieces(results))) text = replaced(name, text, place, piece ?? NOT_MEASURED)
    return { name, file, text, isCurrent: text === before }
  }))
}

/** @throws Error when the page has no such place */
function replaced (page: string, text: string, place: string, piece: string): string {
  const [begin, end] = [`<!-- ${place} -->`, `<!-- end of ${place} -->`]
  const [from, to] = [text.indexOf(begin), text.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`${page} has no ${begin} and ${end}`)
  return `${text.slice(0, from + begin.length)}\n\n${piece}\n\n${text.slice(to)}`
}
