/** What `npm test` and `npm run test:quick` are made of. */
import { createConnection } from 'mysql2/promise'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, cpSync, globSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import t, { type Test } from 'tap'
import { childEnvironment } from '../../support/child-environment.ts'
import { availableKinds } from '../../support/databases.ts'
import { ROOT } from '../../support/fences.ts'
import { findDaemon as findMariadb } from '../../support/mariadb.ts'
import { findDaemon as findPostgreSql } from '../../support/postgresql.ts'
import { quickFiles } from '../../support/quick/files.ts'

const skip = [findMariadb(), findPostgreSql()].includes(undefined) && 'no server to start'

/** A script for sh that leaves a child behind, which no signal but SIGKILL ends. Its output is open for as long as that child lives. */
const STUBBORN_CHILD = "(trap '' INT TERM HUP; exec sleep 60) &"

function temporaryFolder (t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'run-'))
  t.teardown(() => { rmSync(folder, { recursive: true }) })
  return folder
}

/** Runs a script for sh as test/support/servers.ts runs tap. */
function startRun (t: Test, script: string, env: NodeJS.ProcessEnv, detached = false) {
  // Not t.testdir(): the path of a server's socket may have no more than some 100 characters.
  const folder = temporaryFolder(t)
  // Where root runs the tests, PostgreSQL is another user.
  chmodSync(folder, 0o711)
  const child = spawn(process.execPath, [join(ROOT, 'test/support/servers.ts'), 'sh', '-c', script], {
    env: { ...childEnvironment, TMPDIR: folder, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
    detached
  })
  return {
    child,
    pid: Number(child.pid),
    /** When the run, and all that it has started, has ended. */
    closed: once(child, 'close') as Promise<[code: number | null, signal: string | null]>,
    leftBehind: () => readdirSync(folder)
  }
}

async function connectToPostgreSql (url: string): Promise<void> {
  const client = new pg.Client(`${url}/postgres`)
  await client.connect()
  await client.end()
}

const SIGNALS: { signal: NodeJS.Signals, code: number, wholeGroup: boolean }[] = [
  { signal: 'SIGINT', code: 130, wholeGroup: true },
  { signal: 'SIGINT', code: 130, wholeGroup: false },
  { signal: 'SIGTERM', code: 143, wholeGroup: false }
]

for (const { signal, code, wholeGroup } of SIGNALS) {
  void t.test(`${signal} to ${wholeGroup ? 'the whole group, as Ctrl-C sends it,' : 'one process'} ends the run`, { skip, timeout: 40_000 }, async t => {
    const { child, pid, closed, leftBehind } = startRun(t, `${STUBBORN_CHILD} mktemp -d; echo "$MYSQL_URL"; echo "$PG_URL"; wait`, { MYSQL_URL: '', PG_URL: '', TEST_DATABASE: '' }, wholeGroup)
    let output = ''
    child.stdout.on('data', chunk => { output += String(chunk) })
    while (!output.includes('postgresql://')) await once(child.stdout, 'data')
    const [, url = '', postgresqlUrl = ''] = output.split('\n')
    await (await createConnection(url)).end()
    await connectToPostgreSql(postgresqlUrl)
    t.equal(leftBehind().length, 1, 'everything temporary is in one folder')

    process.kill(wholeGroup ? -pid : pid, signal)
    t.same(await closed, [code, null])
    t.same(leftBehind(), [])
    await t.rejects(createConnection(url), { code: 'ECONNREFUSED' }, 'the servers have ended')
    await t.rejects(connectToPostgreSql(postgresqlUrl), { code: 'ECONNREFUSED' })
  })
}

void t.test('a command that does not listen to a signal is killed', { timeout: 40_000 }, async t => {
  const { child, pid, closed } = startRun(t, "trap '' TERM; echo; sleep 60; sleep 60", { TEST_DATABASE: 'sqlite' })
  await once(child.stdout, 'data')
  process.kill(pid, 'SIGTERM')
  t.same(await closed, [143, null])
})

void t.test('a run that ends by itself has the exit code of its command, and leaves nothing behind', { timeout: 40_000 }, async t => {
  const { child, closed, leftBehind } = startRun(t, `${STUBBORN_CHILD} mktemp -d; exit 3`, { TEST_DATABASE: 'sqlite' })
  child.stdout.resume()
  t.same(await closed, [3, null])
  t.same(leftBehind(), [])
})

void t.test('npm tells only the shell of a script of a signal: it makes way for what it runs', async t => {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: Record<string, string> }
  t.match(scripts['test'], /\bexec node test\/support\/servers\.ts /)
  t.match(scripts['test:quick'], /\bexec node test\/support\/servers\.ts /)
})

void t.test('an empty variable is one that is not set, and a database that is not there is an error', async t => {
  t.intercept(process, 'env', { value: { MYSQL_URL: '', PG_URL: '', TEST_DATABASE: '' } })
  t.same(availableKinds(), ['sqlite'])
  process.env['TEST_DATABASE'] = 'mysql'
  t.throws(availableKinds, { message: 'TEST_DATABASE=mysql: there is only sqlite' })
  process.env['MYSQL_URL'] = 'mysql://root@127.0.0.1:3306'
  t.same(availableKinds(), ['mysql'])
  process.env['PG_URL'] = 'postgresql://postgres@127.0.0.1:5432'
  process.env['TEST_DATABASE'] = ''
  t.same(availableKinds(), ['sqlite', 'mysql', 'postgresql'])
})

/** Two tests of a program that they cover in part. */
const PROJECT = {
  'package.json': '{ "type": "module" }',
  'program.ts': 'export function twice (n: number) { return 2 * n }\nexport function half (n: number) { return n / 2 }\n',
  test: {
    'right.test.ts': "import t from 'tap'\nimport { twice } from '../program.ts'\nt.equal(twice(1), 2)\nt.equal(twice(2), 4)\n",
    'wrong.test.ts': `
      import t from 'tap'
      void t.test('outer', async t => { await t.test('inner', async t => { t.same({ n: 1 }, { n: 2 }, 'what it says') }) })
    `
  }
}

void t.test('where there is no terminal, tap prints a line for each file, the failures, and a summary', async t => {
  // tap covers nothing that is in t.testdir().
  const folder = temporaryFolder(t)
  cpSync(t.testdir(PROJECT), folder, { recursive: true })
  cpSync(join(ROOT, '.taprc'), join(folder, '.taprc'))
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  const run = (...files: string[]) => spawnSync(process.execPath, [join(ROOT, 'test/support/tap.ts'), ...files], {
    cwd: folder,
    // Of itself, not because this run is in CI.
    env: { ...childEnvironment, MYSQL_URL: 'mysql://127.0.0.1', PG_URL: 'postgresql://127.0.0.1', TEST_DATABASE: '', CI: undefined, CONTINUOUS_INTEGRATION: undefined },
    encoding: 'utf8'
  })

  const part = run('test/right.test.ts')
  t.equal(part.status, 0, 'no coverage is demanded of some of the files')
  t.match(part.stdout, /^ PASS {2}test\/right\.test\.ts 2 OK \d+/m)
  t.match(part.stdout, /^# \{ total: 2, pass: 2 \}$/m)

  const whole = run()
  t.equal(whole.status, 1)
  t.match(whole.stdout, /^ PASS {2}test\/right\.test\.ts 2 OK \d+/m)
  t.match(whole.stdout, /^ FAIL {2}test\/wrong\.test\.ts 1 failed of 1 \d+/m)
  t.match(whole.stdout, /outer > inner > what it says[^]*- {2}"n": 2,\n *\+ {2}"n": 1,[^]*test\/wrong\.test\.ts:3:/)
  t.match(whole.stdout, /^# \{ total: 3, pass: 2, fail: 1 \}$/m)
  t.match(whole.stdout, /program\.ts +\|/, 'and what they do not cover')
  t.notOk(whole.stdout.includes('\u001b[2K'), 'no line that is printed is erased')
})

void t.test('the six quick runs have all of the quick tests, each once', async t => {
  const runs = globSync('test/support/quick/*.ts', { cwd: ROOT }).map(file => /runSixth\((\d)\)/.exec(readFileSync(join(ROOT, file), 'utf8'))?.[1]).filter(sixth => sixth !== undefined)
  t.same(runs.sort(), ['0', '1', '2', '3', '4', '5'])
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: Record<string, string> }
  t.equal(scripts['test:quick']?.match(/support\/quick\/\w+\.ts/g)?.length, runs.length)
})

void t.test('the quick tests are those that start neither a process nor a compiler', async t => {
  const files = quickFiles()
  t.ok(files.includes('test/units-of-work/commit.test.ts'))
  t.notOk(files.includes('test/unit/support/run-tests.test.ts'))
  t.notOk(files.includes('test/docs/demo.test.ts'), 'nor let others start one')
  t.notOk(files.includes('test/docs/examples.test.ts'))
})
