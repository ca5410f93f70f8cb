/** Runs the examples of docs/testing.md with the test runners that the repository has; recipes/ has the others. */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { childEnvironment as env } from '../support/child-environment.ts'
import { runnable, typeErrors } from '../support/doc-modules.ts'
import { runnerExamples } from '../support/runner-examples.ts'

const examples = runnerExamples().filter(({ needs }) => needs === undefined)

void t.test('there is one for each runner', async t => {
  t.same(runnerExamples().map(({ name }) => name), ['node.test', 'tap.test', 'vitest.test'])
})

void t.test('they pass the compiler', async t => {
  t.same(typeErrors(examples, t.testdir()), [])
})

for (const example of examples) {
  void t.test(String(example.name), async t => {
    const folder = t.testdir()
    const file = runnable(example, folder)
    const { status, stdout, stderr } = spawnSync(process.execPath, [file], { env, encoding: 'utf8' })
    t.equal(status, 0, stdout + stderr)
    t.match(stdout, /a user is created/)

    const miscounted = join(folder, 'miscounted.ts')
    writeFileSync(miscounted, readFileSync(file, 'utf8').replace('assertCount(1)', 'assertCount(2)'))
    const failed = spawnSync(process.execPath, [miscounted], { env, encoding: 'utf8' })
    t.equal(failed.status, 1)
    t.match(failed.stdout, /expected 2 statements, but 1 was sent:\s+1 x insert into `user`[^]*assertCount/)

    const broken = join(folder, 'broken.ts')
    writeFileSync(broken, readFileSync(file, 'utf8').replace('await isolation.release()', '').replace('isolation = await isolate(app)', 'void isolate'))
    const without = spawnSync(process.execPath, [broken], { env, encoding: 'utf8' })
    t.equal(without.status, 1, 'not without the isolation')
    t.match(without.stdout, /500/)
  })
}
