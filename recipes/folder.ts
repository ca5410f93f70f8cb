import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { ROOT } from '../test/support/fences.ts'

const MODULES = join(import.meta.dirname, 'node_modules')

/** A folder in which this package's sources are installed under the package's name, and so is all that the recipes and the repository have. */
export function folderWithPackages (t: Test): string {
  const link = (path: string) => t.fixture('symlink', path)
  return t.testdir({
    'package.json': '{ "type": "module", "devDependencies": { "@mikro-orm/cli": "*" } }',
    node_modules: {
      ...Object.fromEntries(readdirSync(MODULES).filter(name => !name.startsWith('.package')).map(name => [name, link(join(MODULES, name))])),
      'fastify-scoped-db': {
        'package.json': '{ "exports": { ".": "./plugin.ts", "./testing": "./testing.ts", "./opentelemetry": "./opentelemetry.ts" } }',
        'plugin.ts': link(join(ROOT, 'plugin.ts')),
        'testing.ts': link(join(ROOT, 'testing.ts')),
        'opentelemetry.ts': link(join(ROOT, 'opentelemetry.ts'))
      }
    }
  })
}
