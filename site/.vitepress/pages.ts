/** What is a page, and where it stands in the sidebar. */
import { readFileSync, globSync } from 'node:fs'
import { join } from 'node:path'

export const ROOT = join(import.meta.dirname, '../..')

const FOLDERS = ['docs', 'examples', 'bench']
const IN_ROOT = ['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md']

export const PAGES = {
  all: [...IN_ROOT, ...globSync(`{${FOLDERS.join()}}/**/*.md`, { cwd: ROOT, exclude: name => name === 'node_modules' })],
  excluded: [`!(${FOLDERS.join('|')})/*`, `!(${FOLDERS.join('|')})/*/**`, '**/node_modules/**']
}

const GROUPS: Record<string, string[]> = {
  'Getting started': ['README.md', 'docs/recipes/application.md', 'docs/from-request-context.md', 'docs/from-flask-sqlalchemy.md'],
  'How it works': ['docs/lifecycle.md', 'docs/databases.md', 'docs/after-commit.md', 'docs/retries.md', 'docs/look-ups.md', 'docs/testing.md', 'docs/observability.md', 'docs/replicas.md', 'docs/postgresql.md', 'docs/row-level-security.md'],
  Reference: ['docs/api.md', 'docs/errors.md', 'docs/limits.md', 'docs/performance.md', 'docs/scaling.md', 'docs/reliability.md', 'CHANGELOG.md', 'SECURITY.md']
}

const titleOf = (page: string) => /^# (.*)$/m.exec(readFileSync(join(ROOT, page), 'utf8'))?.[1]?.replaceAll('`', '') ?? page
const item = (page: string) => ({ text: titleOf(page), link: `/${page.replace(/README\.md$/, '').replace(/\.md$/, '')}` })
const group = (text: string, pages: string[]) => ({ text, collapsed: false, items: pages.map(item) })

/** Every page: those that no group names are recipes, or for those who change the code. */
export const SIDEBAR = (() => {
  const named = Object.values(GROUPS).flat()
  const rest = PAGES.all.filter(page => !named.includes(page))
  const recipes = rest.filter(page => page.startsWith('docs/recipes/'))
  return [
    ...Object.entries(GROUPS).map(([text, pages]) => group(text, pages)),
    group('Recipes', recipes.filter(page => !page.endsWith('README.md')).sort()),
    { ...group('The repository', rest.filter(page => !recipes.includes(page)).sort()), collapsed: true }
  ]
})()
