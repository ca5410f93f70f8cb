/**
 * A private PostgreSQL server for one test run: `node test/support/postgresql.ts COMMAND...` starts one, runs the
 * command with its address in PG_URL, and stops it again, however the command ends.
 */
import { spawnSync } from 'node:child_process'
import { chown, mkdtemp } from 'node:fs/promises'
import { globSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import pg from 'pg'
import { runWithServers, type ServerKind } from './run-with-servers.ts'
import { find, freePort, launch, unprivileged, type Server } from './server.ts'

/** @returns undefined when this machine has no server to start */
export async function startServer (options: string[] = []): Promise<Server | undefined> {
  const daemon = findDaemon()
  if (daemon === undefined) return undefined
  const folder = await mkdtemp(join(tmpdir(), 'fastify-scoped-db-'))
  const port = await freePort()
  // It runs as root under no circumstances.
  const user = unprivileged('postgres')
  if (user !== undefined) await chown(folder, user.uid, user.gid)
  const data = join(folder, 'data')
  const { status, stderr } = spawnSync(join(dirname(daemon), 'initdb'), ['--pgdata', data, '--username', 'postgres', '--auth', 'trust', '--encoding', 'UTF8', '--locale', 'C', '--no-sync'], { encoding: 'utf8', cwd: folder, ...user })
  if (status !== 0) throw new Error(`the database server's data folder could not be made:\n${stderr}`)
  return await launch({
    url: `postgresql://postgres@127.0.0.1:${port}`,
    daemon,
    folder,
    user,
    args: ['-D', data, ...settingsFor(folder, port), ...options],
    connect: connectTo
  })
}

export function settingsFor (folder: string, port: number): string[] {
  const settings = { listen_addresses: '127.0.0.1', port, unix_socket_directories: folder, fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', max_connections: 300 }
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
}

export async function connectTo (url: string): Promise<void> {
  const client = new pg.Client(`${url}/postgres`)
  await client.connect()
  await client.end()
}

export function findDaemon (): string | undefined {
  return findProgram('postgres')
}

export function findProgram (name: string): string | undefined {
  // Debian keeps those of each version apart.
  return find(name, ...globSync('/usr/lib/postgresql/*/bin').sort().reverse())
}

export const POSTGRESQL: ServerKind = {
  name: 'PostgreSQL',
  databases: ['postgresql'],
  variable: 'PG_URL',
  howToGetOne: 'Install one (Debian: apt-get install postgresql) or set PG_URL=postgresql://postgres@127.0.0.1:5432',
  start: startServer
}

if (import.meta.main) process.exitCode = await runWithServers([POSTGRESQL], process.argv.slice(2))
