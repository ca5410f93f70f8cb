/** `npm run build`: makes dist/ anew, the JavaScript and the declarations that the package consists of. */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '..')
const DIST = join(ROOT, 'dist')

rmSync(DIST, { recursive: true, force: true })
const { status } = spawnSync('tsc', ['-p', 'tsconfig.build.json'], { stdio: 'inherit', cwd: ROOT })
if (status !== 0) process.exit(1)

// TypeScript rewrites './x.ts' to './x.js' in what it emits as JavaScript, but not in declarations (microsoft/TypeScript#61037).
for (const name of readdirSync(DIST, { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.d.ts'))) {
  const file = join(DIST, name)
  const text = readFileSync(file, 'utf8')
  writeFileSync(file, text.replaceAll(/(?<=['"]\.{1,2}\/[^'"\n]*)\.ts(?=['"])/g, '.js'))
}
