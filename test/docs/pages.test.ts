import type { FastifyError } from '@fastify/error'
import { existsSync, globSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { fencesOf, PAGES, read, ROOT } from '../support/fences.ts'
import { optionsOf } from '../support/option-oracle.ts'

const readme = read('README.md')
const api = read('docs/api.md')
const errors = read('docs/errors.md')

const unique = (text: string, pattern: RegExp) => [...new Set([...text.matchAll(pattern)].map(([, found = '']) => found))].sort()

const anchorOf = (heading: string) => heading.toLowerCase().replaceAll(/[^\w\s-]/g, '').replaceAll(' ', '-')

/** What stands under a heading, up to the next one of the same level. */
const under = (page: string, heading: string) => page.split(`\n${heading}\n`)[1]?.split(`\n${heading.split(' ')[0]} `)[0] ?? ''

void t.test('the README has the lines to paste, each alone in its fence', async t => {
  const pasted = fencesOf('README.md').filter(({ language }) => language === 'sh').map(({ code }) => code)
  t.same(pasted.slice(0, 2), ['npm ci && npm run demo\n', 'npm ci && npm test\n'])
  t.ok(readme.split('\n').indexOf('npm ci && npm test') < 25, 'on the first screen')
  t.ok(readme.split('\n').length <= 150, 'it is short')
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  t.match(scripts, { demo: /./, test: /./ })
})

void t.test('every npm script that is named is there', async t => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  for (const page of PAGES) t.same(unique(read(page), /\bnpm run ([\w:]+)/g).filter(name => !(name in scripts)), [], page)
})

void t.test('every file of the sources that is named is there', async t => {
  for (const page of PAGES) t.same(unique(read(page), /`(lib\/[\w./-]+\.ts)`/g).filter(file => !existsSync(join(ROOT, file))), [], page)
})

void t.test('docs/architecture.md names every file of the sources, but for the ground, contracts and databases', async t => {
  const page = read('docs/architecture.md')
  const files = globSync('lib/*/**/*.ts', { cwd: ROOT }).filter(file => !/contracts\.ts$|^lib\/drivers\/[^/]*$/.test(file))
  t.ok(files.length > 100)
  t.same(files.filter(file => !page.includes(`\`${file}\``)), [])
})

void t.test('what is installed fits together: MikroORM in one version, which is tested here', async t => {
  const { devDependencies } = JSON.parse(read('package.json')) as { devDependencies: Record<string, string> }
  const installed = PAGES.flatMap(page => unique(read(page), /^(npm install .*fastify-scoped-db.*)$/gm))
  t.not(installed.length, 0)
  for (const line of installed) {
    const packages = [...line.matchAll(/(@mikro-orm\/\w+)(\S*)/g)].map(([, name = '', version]) => ({ name, version }))
    t.same(packages, packages.map(({ name }) => ({ name, version: `@${devDependencies[name]}` })), line)
  }
})

void t.test('the README quotes the promise', async t => {
  t.match(readme, '> Answered 2xx or 3xx: it is in the database. Answered 4xx or 5xx: it is not. Nothing is left behind either way.')
})

void t.test('every error code has its section, and no other is named', async t => {
  const codes = unique(read('lib/errors/errors.ts'), /'(FST_SCOPED_DB_\w+)'/g)
  t.same(unique(errors, /^## `(FST_SCOPED_DB_\w+)`$/gm), codes)
  for (const page of PAGES) {
    const named = unique(read(page), /\b(FST_SCOPED_DB_[A-Z_]+)\b/g)
    t.same(named.filter(code => !codes.includes(code)), [], page)
  }
})

void t.test('every error code is in the table on top', async t => {
  const codes = unique(read('lib/errors/errors.ts'), /'FST_SCOPED_DB_(\w+)'/g)
  t.same(unique(under(errors, '## Symptoms'), /\[([A-Z_]+)\]\(#fst_scoped_db_/g), codes)
})

void t.test('every error has the message and the status that docs/errors.md says', async t => {
  const sections = errors.split(/^## /m)
  for (const [name, error] of Object.entries(await import('../../lib/errors/errors.ts'))) {
    if (!name.endsWith('Error')) continue
    const made = Reflect.construct(error, []) as FastifyError
    const section = sections.find(section => section.startsWith(`\`${made.code}\``)) ?? ''
    t.ok(section.includes(`\n> ${made.message}\n`), made.message)
    t.ok(section.includes(`**Status:** ${made.statusCode}`), `${made.code}: ${made.statusCode}`)
    t.equal(section.includes('`TypeError`'), made instanceof TypeError, made.code)
    const headers = made.statusCode === 503 ? { 'retry-after': '1' } : undefined
    t.same((made as { headers?: object }).headers, headers, `${made.code}: a 503 says when to come back`)
  }
})

void t.test('every option is in the table of options and has a section', async t => {
  const routeOptions = optionsOf('RouteOptions')
  const options = [...new Set([...routeOptions, ...optionsOf('ScopedDbOptions')])].sort()
  t.equal(options.length, 22)
  const documented = under(api, '## Options')
  t.same(unique(documented, /^\| \[`(\w+)`\]\(#\w+\) \| /gm), options)
  t.same(unique(documented, /^### `(\w+)`$/gm), options)
  t.same(unique(documented, /^\| \[`(\w+)`\].*\| yes \| [^|]*\|$/gm), routeOptions)
  t.same(unique(documented, /^\| \[`(\w+)`\].*\| [^|]+[^|\s] \|$/gm), routeOptions.filter(option => !['cancelOnAbort', 'mapErrors'].includes(option)))
})

void t.test('every option of the inspector is in its table', async t => {
  t.same(unique(under(read('docs/observability.md'), '## The page'), /^\| `(\w+)` \| [^|]+ \| /gm), optionsOf('InspectorOptions'))
})

void t.test('every public member of Database is in docs/api.md', async t => {
  const classes = [/export class Database<[^{]*\{([^]*?)^}/m.exec(read('lib/application/database.ts')), /class LookUps \{([^]*?)^}/m.exec(read('lib/look-ups/look-ups.ts')), /class Monitored [^{]*\{([^]*?)^}/m.exec(read('lib/application/monitored.ts'))]
  const withoutInternals = classes.map(found => found?.[1] ?? '').join('').replaceAll(/\/\*\* @internal[^]*?\*\/\n.*\n/g, '')
  const members = unique(withoutInternals, /^ {2}(?:readonly |async |get )*(\w+)(?:<[^(]*>)? ?[:(]/gm)
  t.same(members, ['afterCommit', 'afterRollback', 'commit', 'current', 'firstOr404', 'getOr404', 'hasSession', 'healthCheck', 'isClosed', 'name', 'on', 'oneOr404', 'open', 'openScopes', 'orm', 'paginate', 'paginateByCursor', 'remove', 'rollback', 'run', 'session', 'setRollbackOnly', 'statements', 'stats', 'use'])
  t.same(unique(under(api, '## `db` and `fastify.db`').split('###')[0] ?? '', /^\| `(\w+)[^`]*` \|/gm), members)
})

void t.test('every export is in docs/api.md', async t => {
  const plugin = read('plugin.ts')
  const exported = (kind: string) => unique(plugin, new RegExp(`^export ${kind}\\{ (.*) \\}`, 'gm')).flatMap(names => names.split(', ')).sort()
  const imported = (pattern: RegExp) => (pattern.exec(api)?.[1] ?? '').match(/\w+/g)?.sort()
  t.same(unique(under(api, '## Types'), /^\| `(\w+)` \|/gm), exported('type '))
  t.same(imported(/^import type \{([^}]*)\} from 'fastify-scoped-db'/m), exported('type '))
  t.same(imported(/^import scopedDb, \{([^}]*)\} from 'fastify-scoped-db'/m), exported(''))
})

void t.test('contents are complete', async t => {
  for (const page of PAGES) {
    const text = read(page)
    const listed = unique(text.slice(0, text.indexOf('\n## ')), /\]\(#([^)]*)\)/g)
    if (listed.length > 1) t.same(unique(text, /^## (.*)$/gm).map(anchorOf).filter(anchor => !listed.includes(anchor)), [], page)
  }
})

void t.test('links lead somewhere', async t => {
  const headingsOf = (page: string) => unique(read(page), /^#+ (.*)$/gm).map(anchorOf)
  const isBroken = (page: string, link: string) => {
    const [path = '', anchor] = link.split('#')
    const target = path === '' ? page : join(dirname(page), path)
    return !existsSync(join(ROOT, target)) || (anchor !== undefined && !headingsOf(target).includes(anchor))
  }
  for (const page of PAGES) {
    const links = unique(read(page), /\]\((?!https?:)([^)\s]+)\)/g)
    t.same(links.filter(link => isBroken(page, link)), [], page)
  }
})
