import { join } from 'node:path'
import type { Test } from 'tap'
import { ROOT } from './fences.ts'

/** @returns a folder in which this package's sources are installed under the package's name, and so is all that the repository has */
export function folderWithPackage (t: Test): string {
  return t.testdir({
    'package.json': '{ "type": "module" }',
    node_modules: {
      'fastify-scoped-db': {
        'package.json': '{ "exports": { ".": "./plugin.ts", "./testing": "./testing.ts", "./opentelemetry": "./opentelemetry.ts" } }',
        'plugin.ts': t.fixture('symlink', join(ROOT, 'plugin.ts')),
        'testing.ts': t.fixture('symlink', join(ROOT, 'testing.ts')),
        'opentelemetry.ts': t.fixture('symlink', join(ROOT, 'opentelemetry.ts'))
      }
    }
  })
}
