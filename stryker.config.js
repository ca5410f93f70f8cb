import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

// A test process that has seen a failure is ended at once, so what it leaves behind has to be removed afterwards.
const databases = mkdtempSync(join(tmpdir(), 'fastify-scoped-db-mutation-'))
process.on('exit', () => { rmSync(databases, { recursive: true, force: true }) })
process.env.TMPDIR = databases

// Mutants that make a test hang are many here. The tests notice by themselves, long before Stryker's own limit.
process.env.TEST_TIMEOUT = '20000'
process.env.TAP_TIMEOUT = '240'

// Every mutant starts a process, which loads the same modules.
process.env.NODE_COMPILE_CACHE = resolve('node_modules/.cache/mutation')

/** @type {import('@stryker-mutator/api/core').PartialStrykerOptions} */
export default {
  plugins: ['@stryker-mutator/tap-runner'],
  testRunner: 'tap',
  mutate: ['plugin.ts', 'lib/**/*.ts'],
  tap: {
    // SQLite comes first, since it needs no server and kills most.
    testFiles: ['test/mutation/sqlite.ts', 'test/mutation/mysql.ts'],
    nodeArgs: ['-r', '{{hookFile}}', '--import=tap', '{{testFile}}'],
    forceBail: true
  },
  coverageAnalysis: 'perTest',
  concurrency: 6,
  timeoutMS: 60_000,
  timeoutFactor: 2,
  incremental: true,
  incrementalFile: 'reports/mutation-incremental.json',
  reporters: ['clear-text', 'progress-append-only', 'json', 'html'],
  jsonReporter: { fileName: 'reports/mutation.json' },
  htmlReporter: { fileName: 'reports/mutation.html' },
  clearTextReporter: { allowColor: false, allowEmojis: false, logTests: false },
  thresholds: { high: 95, low: 90, break: 90 }
}
