/**
 * A private MariaDB or MySQL server for one test run: `node test/support/mariadb.ts COMMAND...` starts one, runs the
 * command with its address in MYSQL_URL, and stops it again, however the command ends. With MYSQL_URL set, that server is
 * used and left alone; with TEST_DATABASE=sqlite there is none.
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
import { exitCodeOf, runCommand, SIGNALS } from './command.ts'
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
  const daemon = findDaemon()
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
        // Its data goes with it, so that it has nothing to finish.
        child.kill('SIGKILL')
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
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the database server ended with ${child.signalCode ?? `code ${child.exitCode}`}:\n${log}`)
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

export function findDaemon (): string | undefined {
  return find('mariadbd') ?? find('mysqld')
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

async function main ([command = 'true', ...args]: string[]): Promise<number> {
  const interruption = new AbortController()
  const { signal } = interruption
  for (const name of SIGNALS) process.on(name, () => { interruption.abort(name) })
  // What is temporary is all in here, so that nothing of it stays behind of those that a signal has ended.
  const folder = await mkdtemp(join(tmpdir(), 'scoped-db-'))
  process.env['TMPDIR'] = folder
  let server: Server | undefined
  let code = 0
  try {
    if (mysqlUrl() === undefined && process.env['TEST_DATABASE'] !== 'sqlite') {
      server = await startServer()
      if (server !== undefined) process.env['MYSQL_URL'] = server.url
      else console.error(`\n*** ${HOW_TO_GET_ONE} ***\n`)
      if (server === undefined && process.env['CI'] === 'true') return 1
    }
    if (!signal.aborted) code = await runCommand(command, args, signal)
  } catch (error) {
    // Ctrl-C ends what sets up a server as well.
    if (!signal.aborted) throw error
  } finally {
    await server?.stop()
    await rm(folder, { recursive: true, force: true, maxRetries: 10 })
  }
  return signal.aborted ? exitCodeOf(signal.reason as NodeJS.Signals) : code
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2))
