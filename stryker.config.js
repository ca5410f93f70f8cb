import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

// A test process that has seen a failure is ended at once, so what it leaves behind has to be removed afterwards.
const databases = mkdtempSync(join(tmpdir(), 'fastify-scoped-db-mutation-'))
process.on('exit', () => { rmSync(databases, { recursive: true, force: true }) })
process.env.TMPDIR = databases

// A test that hangs ends by its own time limit, long before this and Stryker's.
process.env.TAP_TIMEOUT = '240'

// Every mutant starts processes, which load the same modules.
process.env.NODE_COMPILE_CACHE = resolve('node_modules/.cache/mutation')

// Groups of tests that share a process, since starting one takes longer than most tests: the first failure is the end. Stryker leaves
// out the groups that do not reach a mutant. `docs` stands alone and comes first, since it loads errors.ts within a test: a file that
// cannot be loaded counts as an error, not as a kill. MUTATION_GROUPS leaves only some, for a first look.
const ALL_GROUPS = ['errors', 'transactions', 'sessions', 'requests', 'outcomes', 'options', 'look-ups', 'testing']
const groups = process.env.MUTATION_GROUPS?.split(',') ?? ALL_GROUPS
for (const group of groups) if (!ALL_GROUPS.includes(group)) throw new Error(`There is no group "${group}", only ${ALL_GROUPS.join(', ')}`)

// Stryker's report of a process goes to the folder where it ends. A test that fails elsewhere would count as an error, not as a kill.
const endAtHome = "const home = process.cwd(); process.prependListener('exit', () => process.chdir(home))"

/** @type {import('@stryker-mutator/api/core').PartialStrykerOptions} */
export default {
  plugins: ['@stryker-mutator/tap-runner'],
  testRunner: 'tap',
  mutate: ['plugin.ts', 'lib/**/*.ts'],
  tap: {
    testFiles: ['test/docs.test.ts', ...groups.map(name => `test/mutation/${name}.ts`)],
    nodeArgs: ['-r', '{{hookFile}}', `--import=data:text/javascript,${encodeURIComponent(endAtHome)}`, '--import=tap', '{{testFile}}'],
    forceBail: true
  },
  coverageAnalysis: 'perTest',
  concurrency: 4,
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
