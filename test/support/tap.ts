/** tap as `npm test` runs it. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { mysqlUrl, postgresqlUrl } from './server-urls.ts'

const COVERAGE_MAP = 'test/support/coverage-map.js'

// Only all tests together, on all databases, reach all of the code.
const isWhole = !process.argv.slice(2).some(arg => arg.endsWith('.ts')) && mysqlUrl() !== undefined && postgresqlUrl() !== undefined && !process.env['TEST_DATABASE']
if (!isWhole) {
  process.env['TAP_DISABLE_COVERAGE'] = '1'
  // Files start sooner. Not where coverage is measured: V8 is not exact about what was compiled before.
  process.env['NODE_COMPILE_CACHE'] = resolve('.tap/compile-cache')
} else if (existsSync(COVERAGE_MAP)) process.argv.push(`--coverage-map=${COVERAGE_MAP}`)

if (!process.stdout.isTTY) {
  // Makes tap's reporter print each line once, rather than change what it has printed.
  process.env['CONTINUOUS_INTEGRATION'] = 'true'
  process.stdout.columns = 130
}

// Its command, which is no export of it.
await import(new URL('run.mjs', import.meta.resolve('tap')).href)
