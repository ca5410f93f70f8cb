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
    info: info.trim(),
    code
  }))
}
