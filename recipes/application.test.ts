/** Runs the tests of the application in docs/recipes/application.md with the runners that they are for, two files at once. */
import { execFile } from 'node:child_process'
import { copyFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Client } from 'pg'
import t, { type Test } from 'tap'
import { childEnvironment } from '../test/support/child-environment.ts'
import { typeErrorsOf } from '../test/support/doc-modules.ts'
import { fencesOf } from '../test/support/fences.ts'
import { postgresqlUrl } from '../test/support/server-urls.ts'
import { folderWithPackages } from './folder.ts'

const server = postgresqlUrl()
const env = { ...childEnvironment, DATABASE_URL: `${server}/postgres` }
const files = fencesOf('docs/recipes/application.md').flatMap(({ file, code }) => file === undefined ? [] : [{ file, code }])

/** The application, and two test files of one runner. */
function applicationIn (t: Test, runner: string): string {
  const folder = folderWithPackages(t)
  for (const { file, code } of files.filter(({ file }) => !file.endsWith('.test.ts') || file.startsWith(runner))) writeFileSync(join(folder, file), code)
  copyFileSync(join(folder, `${runner}.test.ts`), join(folder, 'other.test.ts'))
  return folder
}

/** What a command has printed, and its exit code. */
async function run (folder: string, ...args: string[]): Promise<{ code: number, output: string }> {
  try {
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: folder, env, timeout: 120_000 })
    return { code: 0, output: stdout }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number, stdout: string, stderr: string }
    return { code, output: stdout + stderr }
  }
}

/** The databases of tests that are on the server. */
async function testDatabases (): Promise<string[]> {
  const client = new Client(env.DATABASE_URL)
  await client.connect()
  const { rows } = await client.query<{ name: string }>("select datname as name from pg_database where datname ~ '^test_\\d+$'")
  await client.end()
  return rows.map(({ name }) => name)
}

const RUNNERS: Record<string, (folder: string) => Promise<{ code: number, output: string }>> = {
  node: async folder => await run(folder, '--test', '--test-reporter=spec'),
  async tap (folder) {
    const runs = await Promise.all(['tap.test.ts', 'other.test.ts'].map(async file => await run(folder, file)))
    return { code: Math.max(...runs.map(({ code }) => code)), output: runs.map(({ output }) => output).join('') }
  },
  vitest: async folder => await run(folder, join(import.meta.dirname, 'node_modules/vitest/vitest.mjs'), 'run', '--reporter=verbose')
}

void t.test('all of it passes the compiler', async t => {
  const folder = folderWithPackages(t)
  for (const { file, code } of files) writeFileSync(join(folder, file), code)
  t.same(typeErrorsOf(files.map(({ file }) => join(folder, file))), [])
})

for (const [runner, runIn] of Object.entries(RUNNERS)) {
  void t.test(runner, { skip: server === undefined && 'no PG_URL' }, async t => {
    const folder = applicationIn(t, runner)
    const { code, output } = await runIn(folder)
    t.equal(code, 0, output)
    t.equal(output.match(/^ *(ok \d+ - |[✔✓] ).*a user is created and found/gm)?.length, 2, output)
    t.same(await testDatabases(), [], 'no database is left')

    const source = files.find(({ file }) => file === `${runner}.test.ts`)?.code ?? ''
    writeFileSync(join(folder, 'other.test.ts'), source.replace('await isolation.release()', '').replace('isolation = await isolate(app)', 'void isolate'))
    const broken = await runIn(folder)
    t.equal(broken.code, 1, 'not without the isolation')
    t.match(broken.output, /409/)
  })
}
