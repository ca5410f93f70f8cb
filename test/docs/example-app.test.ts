/** The application of examples/app, as it is and as somebody else's copy. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { createConnection } from 'mysql2/promise'
import t, { type Test } from 'tap'
import { childEnvironment as env } from '../support/child-environment.ts'
import { ROOT } from '../support/fences.ts'
import { folderWithPackage } from '../support/installed.ts'
import { mysqlUrl } from '../support/server-urls.ts'

const APP = join(ROOT, 'examples/app')

/** Runs the tests of the application, with the reporter that says "ok" and "not ok". */
function runTests (folder: string) {
  return spawnSync(process.execPath, ['--test', '--test-reporter=tap', join(folder, 'app.test.ts')], { env, encoding: 'utf8', timeout: 60_000 })
}

/** Copies the application as its README says, to where the package is installed under its own name. */
function copied (t: Test, change: (source: string) => string): string {
  const folder = folderWithPackage(t)
  for (const file of globSync(join(APP, '*.ts'))) {
    const source = readFileSync(file, 'utf8').replaceAll("'../../plugin.ts'", "'fastify-scoped-db'").replaceAll("'../../testing.ts'", "'fastify-scoped-db/testing'")
    writeFileSync(join(folder, basename(file)), change(source))
  }
  return folder
}

void t.test('it passes its tests', async t => {
  const { status, stdout, stderr } = runTests(APP)
  t.equal(status, 0, 'its tests pass', { stdout, stderr })
  t.match(stdout, /^ok \d+ - a conflict is a 409, and rolls back the whole request$/m)
})

void t.test('it serves, and ends with SIGTERM', async t => {
  const server = spawn(process.execPath, [join(APP, 'server.ts')], { env: { ...env, PORT: '0' }, timeout: 60_000, killSignal: 'SIGKILL' })
  const exit = once(server, 'close')
  t.teardown(async () => {
    server.kill('SIGKILL')
    await exit
  })
  let [output, errors] = ['', '']
  server.stdout.setEncoding('utf8').on('data', text => { output += text })
  server.stderr.setEncoding('utf8').on('data', text => { errors += text })

  const curl = /^curl (\S+) -H 'authorization: (.+)'$/m
  while (!curl.test(output)) {
    const [code] = await Promise.race([once(server.stdout, 'data'), exit])
    if (typeof code === 'number' || code === null) throw new Error(`it has ended too early: ${errors}`)
  }
  const [, url = '', authorization = ''] = curl.exec(output) ?? []
  t.match(url, /^http:\/\/127\.0\.0\.1:\d+\/books$/)
  const headers = { authorization, 'content-type': 'application/json' }
  const body = JSON.stringify({ isbn: '9780441013593', title: 'Dune', author: 'Frank Herbert' })
  t.same([await status(url, {}), await status(url, { headers }), await status(url, { headers, method: 'POST', body })], [401, 200, 201])

  server.kill('SIGTERM')
  t.same(await exit, [0, null])
  t.equal(errors, '')
  t.match(output, /"msg":"a book was added"/, 'closing waits for what comes after the commit')
})

async function status (url: string, options: RequestInit): Promise<number> {
  const response = await fetch(url, options)
  await response.body?.cancel()
  return response.status
}

void t.test('a copy of it passes, and does not without commitOnTeardown', async t => {
  const { status, stdout, stderr } = runTests(copied(t, source => source))
  t.equal(status, 0, 'its tests pass', { stdout, stderr })
  const broken = runTests(copied(t, source => source.replace('commitOnTeardown: true, ', '')))
  t.equal(broken.status, 1)
  t.match(broken.stdout, /^not ok \d+ - a conflict is a 409, and rolls back the whole request$/m)
})

const server = mysqlUrl()
void t.test('a copy of it passes on MySQL, with the one line changed', { skip: server === undefined && 'no MYSQL_URL' }, async t => {
  const url = `${server}/scoped_db_example_${process.pid}`
  t.teardown(async () => {
    const connection = await createConnection(String(server))
    await connection.query(`drop database if exists ${basename(url)}`)
    await connection.end()
  })
  const folder = copied(t, source => source
    .replace(/^\/\/ (const connection = .*)\nconst connection = .*$/m, '$1')
    .replace(/'mysql:[^']*'/, `'${url}'`)
    .replace("import { SqliteDriver } from '@mikro-orm/sqlite'", "import { MySqlDriver } from '@mikro-orm/mysql'"))
  t.match(readFileSync(join(folder, 'database.ts'), 'utf8'), `const connection = { driver: MySqlDriver, clientUrl: '${url}' }\n`)
  const { status, stdout, stderr } = runTests(folder)
  t.equal(status, 0, 'its tests pass', { stdout, stderr })
})
