/**
 * A private MariaDB or MySQL server for one test run: `node test/support/mariadb.ts COMMAND...` starts one, runs the
 * command with its address in MYSQL_URL, and stops it again, however the command ends.
 */
import { spawnSync } from 'node:child_process'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { createConnection } from 'mysql2/promise'
import { runWithServers, type ServerKind } from './run-with-servers.ts'
import { find, freePort, launch, type Server, type ServerProgram } from './server.ts'

/** @returns undefined when this machine has no server to start */
export async function startServer (options: string[] = []): Promise<Server | undefined> {
  const daemon = findDaemon()
  if (daemon === undefined) return undefined
  const folder = await mkdtemp(join(tmpdir(), 'fastify-scoped-db-'))
  const port = await freePort()
  // A server refuses to run as root unless it is told to.
  const user = userInfo().username === 'root' ? ['--user=root'] : []
  initialize(daemon, folder, user)
  return await launch({
    url: `mysql://root@127.0.0.1:${port}`,
    daemon,
    folder,
    args: [
      '--no-defaults', ...user, `--datadir=${folder}/data`, `--socket=${folder}/socket`, `--pid-file=${folder}/pid`,
      `--tmpdir=${folder}`, `--port=${port}`, '--bind-address=127.0.0.1', '--skip-log-bin', '--innodb-flush-log-at-trx-commit=0', ...options
    ],
    connect: async url => { await (await createConnection(url)).end() }
  })
}

/** Makes a server's data in a folder of its own. */
export function initialize (daemon: string, folder: string, user: string[], owner?: ServerProgram['user']): void {
  const data = join(folder, 'data')
  // Servers that are set up at the same time delete each other's temporary files.
  const env = { ...process.env, TMPDIR: folder }
  const installer = find('mariadb-install-db')
  const { status, stderr } = installer === undefined
    ? spawnSync(daemon, ['--no-defaults', ...user, '--initialize-insecure', `--datadir=${data}`], { encoding: 'utf8', env, ...owner })
    : spawnSync(installer, ['--no-defaults', ...user, `--datadir=${data}`, '--auth-root-authentication-method=normal', '--skip-test-db'], { encoding: 'utf8', env, ...owner })
  if (status !== 0) throw new Error(`the database server's data folder could not be made:\n${stderr}`)
}

export function findDaemon (): string | undefined {
  return find('mariadbd') ?? find('mysqld')
}

export const MARIADB: ServerKind = {
  name: 'MySQL',
  databases: ['mysql', 'mariadb'],
  variable: 'MYSQL_URL',
  howToGetOne: 'Install one (Debian: apt-get install mariadb-server) or set MYSQL_URL=mysql://root@127.0.0.1:3306',
  start: startServer
}

if (import.meta.main) process.exitCode = await runWithServers([MARIADB], process.argv.slice(2))
