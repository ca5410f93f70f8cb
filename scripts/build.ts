/** `npm run build`: makes dist/ anew, the JavaScript and the declarations that the package consists of. */
import { spawnSync } from 'node:child_process'
import { cpSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

const ROOT = join(import.meta.dirname, '..')
const DIST = join(ROOT, 'dist')

rmSync(DIST, { recursive: true, force: true })

function compile (...options: string[]): void {
  const { status } = spawnSync('tsc', ['-p', 'tsconfig.build.json', ...options], { stdio: 'inherit', cwd: ROOT })
  if (status !== 0) process.exit(1)
}

// Docstrings are for editors, which read them in the declarations.
compile('--removeComments')
compile('--declaration', '--emitDeclarationOnly')

/** What is sent to browsers as it is. */
const PAGE = 'lib/inspector/page'
cpSync(join(ROOT, PAGE), join(DIST, PAGE), { recursive: true })

const declarations = globSync('**/*.d.ts', { cwd: DIST })
const imported = (declaration: string) => [...readFileSync(join(DIST, declaration), 'utf8').matchAll(/(?<=['"])\.{1,2}\/[^'"\n]*(?=\.ts['"])/g)].map(([path]) => `${join(dirname(declaration), path)}.d.ts`)

/** What an import of the package leads to. */
function reachable (declaration: string, found = new Set<string>()): Set<string> {
  if (found.has(declaration)) return found
  found.add(declaration)
  for (const other of imported(declaration)) reachable(other, found)
  return found
}

const needed = reachable('inspector.d.ts', reachable('opentelemetry.d.ts', reachable('testing.d.ts', reachable('plugin.d.ts'))))
for (const declaration of declarations) {
  const file = join(DIST, declaration)
  if (!needed.has(declaration)) rmSync(file)
  // TypeScript rewrites './x.ts' to './x.js' in what it emits as JavaScript, but not in declarations (microsoft/TypeScript#61037).
  else writeFileSync(file, readFileSync(file, 'utf8').replaceAll(/(?<=['"]\.{1,2}\/[^'"\n]*)\.ts(?=['"])/g, '.js'))
}
