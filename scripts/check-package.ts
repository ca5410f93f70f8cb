/**
 * `npm run check:package`: packs the package as it would be published and looks at it as a user gets it, with the oldest and with the newest
 * of all that it works with. Then does what the README says. All of it downloads, as a user does.
 */
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Checks, output } from './checks.ts'
import { checkCorners, choices } from './matrix.ts'
import { NAME } from './user.ts'

/** Their packages are in scripts/, so that who works on the library need not install them. */
const tool = (name: string) => join(import.meta.dirname, 'node_modules/.bin', name)
const folder = mkdtempSync(join(tmpdir(), `${NAME}-package-`))
const checks = new Checks()

/** What somebody downloads who installs it, in bytes. */
const LARGEST = 220_000

function weigh (tarball: string): void {
  const { size } = statSync(tarball)
  const title = `at most ${LARGEST / 1_000} kB`
  console.log(`\n> ${title}`)
  checks.that(title, size <= LARGEST, `${size / 1_000} kB`)
}

/** Fails when the package has files that its users need not download. */
function refuse (title: string, tarball: string, pattern: RegExp): void {
  console.log(`\n> no ${title}`)
  const found = output(folder, 'tar', '-tzf', tarball).split('\n').filter(file => pattern.test(file))
  checks.that(`no ${title}`, found.length === 0, found.join('\n'))
}

try {
  const tarball = checks.pack(folder)
  if (tarball !== undefined) {
    checks.run('publint', folder, tool('publint'), 'run', tarball, '--strict')
    // The package is ESM only, as MikroORM 7 is: what node10's resolution would get is no fault.
    checks.run('attw', folder, tool('attw'), tarball, '--profile', 'esm-only')
    weigh(tarball)
    refuse('reports, plots, sources and maps of them', tarball, /^package\/(?:(?:bench|lib)\b|docs\/(?:architecture|performance|reliability|decisions)\b)|docs\/.*\.(?:svg|png)$|\.map$|(?<!\.d)\.ts$/)
    checkCorners(checks, tarball, folder, choices().corners)
    const quickStart = join(import.meta.dirname, 'quick-start.ts')
    checks.run('quick start, on the oldest Node', folder, 'node', quickStart, tarball, dirname(tool('node')))
    checks.run('quick start, on this Node', folder, 'node', quickStart, tarball, dirname(process.execPath))
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
checks.end()
