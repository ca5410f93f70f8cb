/** Whether every link of the site that was built leads to a page, a file or a heading of it. */
import { existsSync, globSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'

const DIST = join(import.meta.dirname, '.vitepress/dist')

const found = (html: string, attribute: string) => [...html.matchAll(new RegExp(` ${attribute}="([^"]*)"`, 'g'))].map(([, value = '']) => value)

function isBroken (page: string, link: string): boolean {
  const [path = '', anchor = ''] = link.split('#').map(decodeURIComponent)
  const there = join(DIST, path.startsWith('/') ? path : join(dirname(page), path === '' ? page.split('/').at(-1) ?? '' : path))
  const file = [there, `${there}.html`, join(there, 'index.html')].find(file => existsSync(file) && statSync(file).isFile())
  return file === undefined || (anchor !== '' && !found(readFileSync(file, 'utf8'), 'id').includes(anchor))
}

const pages = globSync('**/*.html', { cwd: DIST }).filter(page => page !== '404.html')
const broken = pages.flatMap(page => [...new Set(found(readFileSync(join(DIST, page), 'utf8'), 'href'))]
  .filter(link => !/^\w+:/.test(link) && isBroken(page, link)).map(link => `${page}: ${link}`))

for (const link of broken) console.error(`leads nowhere: ${link}`)
console.log(`${pages.length} pages in ${relative(process.cwd(), DIST)}, ${broken.length} broken links`)
if (broken.length > 0 || pages.length === 0) process.exitCode = 1
