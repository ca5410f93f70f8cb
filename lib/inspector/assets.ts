import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { extname } from 'node:path'

/** A file of the page. */
export interface Asset {
  readonly name: string
  readonly type: string
  readonly content: Buffer
  readonly etag: string
}

const FOLDER = new URL('page/', import.meta.url)

const TYPES: Record<string, string> = { '.html': 'text/html', '.css': 'text/css', '.js': 'text/javascript', '.svg': 'image/svg+xml' }

export function assets (): Asset[] {
  return readdirSync(FOLDER).map(name => {
    const content = readFileSync(new URL(name, FOLDER))
    const etag = `"${createHash('sha256').update(content).digest('base64url')}"`
    return { name, type: `${TYPES[extname(name)]}; charset=utf-8`, content, etag }
  })
}
