import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../../test/support/server.ts'
import type { Database } from '../database.ts'
import { send, warmUp } from '../load/send.ts'
import { ServerProcess } from '../server-process.ts'
import type { Size } from '../sizes.ts'
import { median } from '../statistics.ts'
import { workloads } from '../workloads.ts'

/** Requests per second of Flask-SQLAlchemy and of this plugin, both committing on teardown, on the same MariaDB. */
export interface Flask {
  readonly workload: string
  readonly flask: number
  readonly plugin: number
}

const PYTHON = '/usr/bin/python3'
const FOLDER = fileURLToPath(new URL('../flask', import.meta.url))
const WORKLOADS = ['static', 'read', 'insert']
const CONNECTIONS = 16

/** Whether this machine has what it takes: on Debian, the packages python3-flask-sqlalchemy, python3-mysqldb and gunicorn. */
export function hasFlask (): boolean {
  return spawnSync(PYTHON, ['-c', 'import flask_sqlalchemy, MySQLdb, gunicorn']).status === 0
}

/** One process each, gunicorn with 8 threads. They take turns. */
export async function measureFlask (database: Database, size: Size): Promise<Flask[]> {
  const plugin = await ServerProcess.start('scoped-db on', database)
  const port = await freePort()
  const gunicorn = startGunicorn(port, database.url)
  const urls = { flask: `http://127.0.0.1:${port}`, plugin: await plugin.ask('address') }
  try {
    await reachable(urls.flask, gunicorn)
    const all: Flask[] = []
    for (const workload of workloads.filter(({ name }) => WORKLOADS.includes(name))) {
      const requests = Math.max(CONNECTIONS, Math.round(size.roundCpu / workload.expectedCost / 2))
      const perSecond = { flask: [] as number[], plugin: [] as number[] }
      for (const url of Object.values(urls)) await warmUp(url, workload, size)
      for (let round = 0; round < size.rounds; round++) {
        for (const name of ['flask', 'plugin'] as const) {
          const fired = await send(urls[name], { workload, connections: CONNECTIONS, requests })
          perSecond[name].push(fired.requests / fired.seconds)
        }
      }
      all.push({ workload: workload.name, flask: median(perSecond.flask), plugin: median(perSecond.plugin) })
    }
    return all
  } finally {
    await plugin.stop()
    if (gunicorn.exitCode === null) {
      gunicorn.kill('SIGTERM')
      await once(gunicorn, 'exit')
    }
  }
}

function startGunicorn (port: number, url: string): ChildProcess {
  // The plugin's own database: its process has made the rows.
  const env = { ...process.env, DATABASE_URL: `${url.replace(/^mysql:/, 'mysql+mysqldb:')}/bench_scoped_db_on` }
  const args = ['-m', 'gunicorn', '--log-level', 'warning', '--workers', '1', '--threads', '8', '--bind', `127.0.0.1:${port}`, '--chdir', FOLDER, 'app:app']
  return spawn(PYTHON, args, { env, stdio: ['ignore', 'ignore', 'inherit'] })
}

async function reachable (url: string, gunicorn: ChildProcess): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    if (gunicorn.exitCode !== null) break
    try {
      await fetch(`${url}/static`)
      return
    } catch {
      await sleep(100)
    }
  }
  throw new Error('gunicorn does not answer')
}
