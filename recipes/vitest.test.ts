/** Runs the example of docs/testing.md that is for vitest. */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { childEnvironment as env } from '../test/support/child-environment.ts'
import { runnable, typeErrors } from '../test/support/doc-modules.ts'
import { runnerExamples } from '../test/support/runner-examples.ts'
import { folderWithPackages } from './folder.ts'

const VITEST = join(import.meta.dirname, 'node_modules/vitest/vitest.mjs')

const examples = runnerExamples().filter(({ needs }) => needs === 'recipes')

void t.test('it passes the compiler', async t => {
  t.same(typeErrors(examples, folderWithPackages(t)), [])
})

for (const example of examples) {
  void t.test(String(example.name), async t => {
    const folder = folderWithPackages(t)
    const file = runnable(example, folder)
    const run = () => spawnSync(process.execPath, [VITEST, 'run'], { cwd: folder, env, encoding: 'utf8', timeout: 120_000 })
    t.match(run(), { status: 0, stdout: /3 passed/ })
    writeFileSync(file, readFileSync(file, 'utf8').replace('assertCount(1)', 'assertCount(2)'))
    t.match(run(), { status: 1, stderr: /AssertionError: expected 2 statements, but 1 was sent:\s+1 x insert into `user`/ })
    writeFileSync(file, readFileSync(file, 'utf8').replace('await isolation.release()', '').replace('isolation = await isolate(app)', 'void isolate'))
    t.match(run(), { status: 1, stdout: /× the e-mail address is free again/ }, 'not without the isolation')
  })
}
