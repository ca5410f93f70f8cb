import { globSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

// A process that a mutant has tainted is ended at once, so what it leaves behind has to be removed afterwards.
// `TMPDIR=/dev/shm npm run mutate` keeps them in memory, which saves time.
const databases = mkdtempSync(join(tmpdir(), 'fastify-scoped-db-mutation-'))
process.on('exit', () => { rmSync(databases, { recursive: true, force: true }) })
process.env.TMPDIR = databases

// What they test runs in processes of its own that say nothing of the mutants they reach, or is none of the code that is mutated.
const WITHOUT_MUTANTS = ['test/docs/!(pages).test.ts', 'test/programs/*', 'test/simulator/*', 'test/torture/*', 'test/unit/support/*']

/** @type {import('@stryker-mutator/api/core').PartialStrykerOptions} */
export default {
  plugins: ['./mutation/runner.ts'],
  testRunner: 'same-process',
  sameProcess: {
    testFiles: globSync('test/!(ecosystem)/**/*.test.ts', { exclude: WITHOUT_MUTANTS }).sort()
  },
  mutate: ['plugin.ts', 'lib/**/*.ts'],
  coverageAnalysis: 'perTest',
  concurrency: 5,
  timeoutMS: 60_000,
  timeoutFactor: 8,
  incremental: true,
  incrementalFile: 'reports/mutation-incremental.json',
  reporters: ['clear-text', 'progress-append-only', 'json', 'html'],
  jsonReporter: { fileName: 'reports/mutation.json' },
  htmlReporter: { fileName: 'reports/mutation.html' },
  clearTextReporter: { allowColor: false, allowEmojis: false, logTests: false, reportTests: false },
  thresholds: { high: 95, low: 90, break: 90 }
}
