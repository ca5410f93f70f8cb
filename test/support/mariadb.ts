/**
 * A private MariaDB or MySQL server for one test run: `node test/support/mariadb.ts COMMAND...` starts one, runs the
 * command with its address in MYSQL_URL, and stops it again, however the command ends. With MYSQL_URL set, that server is
 * used and left alone.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { delimiter, join } from 'node:path'
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { createConnection } from 'mysql2/promise'
import { mysqlUrl } from './mysql-url.ts'

export interface Server {
  readonly url: string
  readonly process: ChildProcess
  /** Starts it again with the same data and on the same port, after its process has ended. */
  restart (): Promise<void>
  stop (): Promise<void>
}

/** @returns undefined when this machine has no server to start */
export async function startServer (options: string[] = []): Promise<Server | undefined> {
  const daemon = find('mariadbd') ?? find('mysqld')
  if (daemon === undefined) return undefined
  const folder = await mkdtemp(join(tmpdir(), 'fastify-scoped-db-'))
  const port = await freePort()
  // A server refuses to run as root unless it is told to.
  const user = userInfo().username === 'root' ? ['--user=root'] : []
  initialize(daemon, folder, user)
  const url = `mysql://root@127.0.0.1:${port}`
  const args = [
    '--no-defaults', ...user, `--datadir=${folder}/data`, `--socket=${folder}/socket`, `--pid-file=${folder}/pid`,
    `--tmpdir=${folder}`, `--port=${port}`, '--bind-address=127.0.0.1', '--skip-log-bin', '--innodb-flush-log-at-trx-commit=0', ...options
  ]
  const server = {
    url,
    process: run(daemon, args),
    async restart () {
      server.process = run(daemon, args)
      await reachable(url, server.process)
    },
    async stop () {
      const { process: child } = server
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGTERM')
        await once(child, 'exit')
      }
      await rm(folder, { recursive: true, force: true })
    }
  }
  try {
    await reachable(url, server.process)
  } catch (error) {
    await server.stop()
    throw error
  }
  return server
}

function run (daemon: string, args: string[]): ChildProcess {
  return spawn(daemon, args, { stdio: ['ignore', 'ignore', 'pipe'] })
}

function initialize (daemon: string, folder: string, user: string[]): void {
  const data = join(folder, 'data')
  // Servers that are set up at the same time delete each other's temporary files.
  const env = { ...process.env, TMPDIR: folder }
  const installer = find('mariadb-install-db')
  const { status, stderr } = installer === undefined
    ? spawnSync(daemon, ['--no-defaults', ...user, '--initialize-insecure', `--datadir=${data}`], { encoding: 'utf8', env })
    : spawnSync(installer, ['--no-defaults', ...user, `--datadir=${data}`, '--auth-root-authentication-method=normal', '--skip-test-db'], { encoding: 'utf8', env })
  if (status !== 0) throw new Error(`the database server's data folder could not be made:\n${stderr}`)
}

/** @throws Error with the server's log when it cannot be reached */
async function reachable (url: string, child: ChildProcess): Promise<void> {
  let log = ''
  child.stderr?.on('data', chunk => { log = `${log}${String(chunk)}`.slice(-10_000) })
  for (let attempt = 0; attempt < 300; attempt++) {
    if (child.exitCode !== null) throw new Error(`the database server ended with code ${child.exitCode}:\n${log}`)
    try {
      const connection = await createConnection(url)
      await connection.end()
      return
    } catch {
      await sleep(100)
    }
  }
  throw new Error(`the database server does not answer:\n${log}`)
}

function find (program: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
  return folders.map(folder => join(folder, program)).find(file => existsSync(file))
}

/** A port of 127.0.0.1 that nobody listens on. */
export async function freePort (): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

const HOW_TO_GET_ONE = 'no MySQL server: the tests on MySQL are skipped. Install one (Debian: apt-get install mariadb-server) or set MYSQL_URL=mysql://root@127.0.0.1:3306'

async function main ([command, ...args]: string[]): Promise<number> {
  const server = mysqlUrl() === undefined ? await startServer() : undefined
  if (server === undefined && mysqlUrl() === undefined) {
    console.error(`\n*** ${HOW_TO_GET_ONE} ***\n`)
    if (process.env['CI'] === 'true') return 1
  }
  const url = server?.url ?? mysqlUrl()
  // What only MySQL can reach stays uncovered without it.
  const added = url === undefined ? { TAP_ALLOW_INCOMPLETE_COVERAGE: '1' } : { MYSQL_URL: url }
  try {
    const child = spawn(command ?? 'true', args, { stdio: 'inherit', env: { ...process.env, ...added } })
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
    const [code] = await once(child, 'exit') as [number | null]
    return code ?? 1
  } finally {
    await server?.stop()
  }
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2))
