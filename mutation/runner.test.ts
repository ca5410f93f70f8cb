import { spawnSync } from 'node:child_process'
import { readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

/** What is held stays so when a mutant does not give it back: later mutants must not be blamed for that. */
const CODE = `
const held = new Set<string>()

export function hold (name: string): () => void {
  if (held.has(name)) throw new Error('It is held already')
  held.add(name)
  return () => {
    held.delete(name)
  }
}

export async function isPositive (n: number): Promise<boolean> {
  return n > 0
}

export async function isBusy (): Promise<boolean> {
  return false
}

export const NAMES = ['one']
`

const TESTS = `
import t from 'tap'
import { hold, isBusy, isPositive, NAMES } from '../code.ts'

t.test('is held once only', async t => {
  const release = hold('a')
  t.throws(() => hold('a'))
  release()
})

t.test('is positive, while it holds something', async t => {
  const release = hold('b')
  t.equal(await isPositive(1), true)
  t.equal(await isPositive(-1), false)
  release()
})

t.test('hangs', async t => {
  if (await isBusy()) await new Promise(() => {})
})

t.test('has a name', async t => t.same(NAMES, ['one']))
`

/** By line. Those that survive are what TESTS do not look at. */
const EXPECTED = [
  '4 {}: Killed',
  '5 true: Killed',
  '5 false: Killed',
  '5 "": Survived',
  '6 ;: Killed',
  '7 {}: Survived',
  '8 ;: Survived',
  '12 {}: Killed',
  '13 true: Killed',
  '13 false: Killed',
  '13 n >= 0: Survived',
  '13 n <= 0: Killed',
  '16 {}: Survived',
  '17 true: Killed',
  '20 []: Killed',
  '20 "": Killed'
]

const config = `
export default {
  plugins: ['${import.meta.dirname}/runner.ts'],
  testRunner: 'same-process',
  sameProcess: { testFiles: ['test/code.test.ts'] },
  mutate: ['code.ts'],
  coverageAnalysis: 'perTest',
  concurrency: 1,
  timeoutMS: 60_000,
  reporters: ['json'],
  jsonReporter: { fileName: 'mutation.json' }
}
`

interface Report {
  readonly files: { readonly 'code.ts': { readonly mutants: { status: string, replacement: string, location: { start: { line: number } } }[] } }
}

void t.test('mutants that share a process are told apart', async t => {
  const folder = t.testdir({ 'package.json': '{ "type": "module" }', 'stryker.config.js': config, 'code.ts': CODE, test: { 'code.test.ts': TESTS } })
  symlinkSync(join(import.meta.dirname, '../node_modules'), join(folder, 'node_modules'))
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^TAP|^NODE_OPTIONS|^NODE_TEST|^_TAPJS/.test(name)))
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(import.meta.dirname, 'node_modules/.bin/stryker'), 'run'], { cwd: folder, env, encoding: 'utf8' })
  t.equal(status, 0, stdout + stderr)
  const report = JSON.parse(readFileSync(join(folder, 'mutation.json'), 'utf8')) as Report
  const results = report.files['code.ts'].mutants.map(({ status, replacement, location }) => `${location.start.line} ${replacement}: ${status}`)
  t.same(results, EXPECTED)
})
