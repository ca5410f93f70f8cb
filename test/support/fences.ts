import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The root of the repository. */
export const ROOT = join(import.meta.dirname, '../..')

/** Every page of documentation that is written by hand, as a path from the root. */
export const PAGES = globSync(['*.md', 'bench/*.md', '{docs,examples,.github}/**/*.md'], { cwd: ROOT }).sort()

/** A fenced code block: ```language and what follows it in that line. */
export interface Fence {
  /** Page and line, for people to find it. */
  readonly place: string
  readonly language: string
  /** What `example=` says in its first line: the name under which docs-examples.test.ts knows it. */
  readonly name: string | undefined
  readonly setup: string
  /** What it is the content of, where `file=` says so. */
  readonly file: string | undefined
  /** The folder with the packages that it needs besides those of the repository, where `needs=` names one. */
  readonly needs: string | undefined
  readonly info: string
  readonly code: string
}

export function read (page: string): string {
  return readFileSync(join(ROOT, page), 'utf8')
}

export function fencesOf (page: string): Fence[] {
  const text = read(page)
  return [...text.matchAll(/^```(\S+)(.*)\n([^]*?)^```$/gm)].map(({ 1: language = '', 2: info = '', 3: code = '', index }) => ({
    place: `${page}:${text.slice(0, index).split('\n').length}`,
    language,
    name: /\bexample=(\S+)/.exec(info)?.[1],
    setup: /\bsetup=(\S+)/.exec(info)?.[1] ?? 'app',
    file: /\bfile=(\S+)/.exec(info)?.[1],
    needs: /\bneeds=(\S+)/.exec(info)?.[1],
    info: info.trim(),
    code
  }))
}

/** The first table under a heading: its cells by the first cell of their row and the head of their column. */
export function tableUnder (page: string, heading: string): Record<string, Record<string, string>> {
  const lines = (read(page).split(`\n${heading}\n`)[1] ?? '').split('\n')
  const start = lines.findIndex(line => line.startsWith('| '))
  const rows = lines.slice(start, lines.findIndex((line, n) => n > start && !line.startsWith('|'))).map(line => line.split('|').slice(1, -1).map(cell => cell.trim()))
  const [[, ...columns] = [], , ...body] = rows
  return Object.fromEntries(body.map(([name = '', ...cells]) => [name, Object.fromEntries(columns.map((column, n) => [column, cells[n] ?? '']))]))
}
