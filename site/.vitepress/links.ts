/** Links as GitHub has them, which also lead to sources and to folders. */
import { existsSync, statSync } from 'node:fs'
import { copyFile, mkdir } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import type { MarkdownRenderer } from 'vitepress'
import { PAGES, ROOT } from './pages.ts'

/** The anchor of a heading, as GitHub makes it. */
export function slug (heading: string): string {
  return heading.toLowerCase().replaceAll(/[^\w\s-]/g, '').replaceAll(' ', '-')
}

/** Files that a page links to, by their paths from the root: they are on the site as text. */
const sources = new Set<string>()

/** A plugin of markdown-it, for which VitePress says which page it is. */
export function localLinks (md: MarkdownRenderer): void {
  md.core.ruler.push('local-links', ({ tokens, env }) => {
    const { relativePath } = env as { relativePath: string }
    for (const { children } of tokens) {
      let isLink = true
      for (const token of children ?? []) {
        if (token.type === 'link_open') {
          const href = hrefOf(String(token.attrGet('href')), dirname(relativePath))
          isLink = href !== undefined
          if (href !== undefined) token.attrSet('href', href)
          else [token.tag, token.attrs] = ['span', null]
        } else if (token.type === 'link_close' && !isLink) token.tag = 'span'
      }
    }
  })
}

/** Where a link leads on the site; undefined for what is not there. */
function hrefOf (href: string, folder: string): string | undefined {
  if (/^(\w+:|#)/.test(href)) return href
  const [path = '', anchor] = href.split('#')
  const target = relative(ROOT, join(ROOT, folder, path)).replace(/index\.md$/, 'README.md')
  const suffix = anchor === undefined ? '' : `#${anchor}`
  if (PAGES.all.includes(target)) return `${path.replace(/README\.md$/, 'index.md')}${suffix}`
  if (PAGES.all.includes(join(target, 'README.md'))) return `${path}/index.md${suffix}`
  if (!existsSync(join(ROOT, target))) throw new Error(`${folder}: there is no ${href}`)
  if (statSync(join(ROOT, target)).isDirectory()) return undefined
  sources.add(target)
  return `${path}.txt`
}

/** Puts the sources that are linked to beside the pages. */
export async function copySources (outDir: string): Promise<void> {
  for (const source of sources) {
    const target = join(outDir, `${source}.txt`)
    await mkdir(dirname(target), { recursive: true })
    await copyFile(join(ROOT, source), target)
  }
}
