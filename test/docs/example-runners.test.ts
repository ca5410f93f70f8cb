/** Runs the examples of docs/testing.md with the test runners that they are for. */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { childEnvironment as env } from '../support/child-environment.ts'
import { runnable, typeErrors } from '../support/doc-modules.ts'
import { fencesOf, type Fence } from '../support/fences.ts'

const runnerOf = ({ info }: Fence) => /\brunner=(\S+)/.exec(info)?.[1] ?? ''
const fences = fencesOf('docs/testing.md').filter(fence => runnerOf(fence) !== '')

/** What the example for vitest uses of it, made of node:test: vitest would be a hundred packages more for ten lines. */
const VITEST = `
import { equal } from 'node:assert/strict'
export { after as afterAll, afterEach, beforeEach, test } from 'node:test'
export const expect = <T>(actual: T) => ({ toBe: (expected: T) => { equal(actual, expected) } })
`

/** As it is written to a file. */
const example = (fence: Fence): Fence => ({ ...fence, name: `${runnerOf(fence)}-example`, code: fence.code.replace("'vitest'", "'./vitest.ts'") })

void t.test('there is one for each runner', async t => {
  t.same(fences.map(runnerOf), ['node', 'tap', 'vitest'])
})

void t.test('they pass the compiler', async t => {
  const folder = t.testdir({ 'vitest.ts': VITEST })
  t.same(typeErrors(fences.map(example), folder), [])
})

for (const fence of fences) {
  void t.test(runnerOf(fence), async t => {
    const folder = t.testdir({ 'vitest.ts': VITEST })
    const file = runnable(example(fence), folder)
    const { status, stdout, stderr } = spawnSync(process.execPath, [file], { env, encoding: 'utf8' })
    t.equal(status, 0, stdout + stderr)
    t.match(stdout, /a user is created/)

    const broken = join(folder, 'broken.ts')
    writeFileSync(broken, readFileSync(file, 'utf8').replace('await isolation.release()', '').replace('isolation = await isolate(app)', 'void isolate'))
    const without = spawnSync(process.execPath, [broken], { env, encoding: 'utf8' })
    t.equal(without.status, 1, 'not without the isolation')
    t.match(without.stdout, /500/)
  })
}
