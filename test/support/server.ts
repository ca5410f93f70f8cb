import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { userInfo } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** A private server for one test run. */
export interface Server {
  readonly url: string
  readonly process: ChildProcess
  /** Starts it again with the same data and on the same port, after its process has ended. */
  restart (): Promise<void>
  stop (): Promise<void>
}

export interface ServerProgram {
  readonly url: string
  readonly daemon: string
  readonly args: string[]
  /** What it is told when it is started again, if that is not the same. */
  readonly argsAfterwards?: () => Promise<string[]>
  /** Where all of its files are. */
  readonly folder: string
  /** Whose process it is, if it is not that of who starts it. */
  readonly user?: { readonly uid: number, readonly gid: number } | undefined
  /** Rejects as long as it cannot be reached. */
  connect (url: string): Promise<unknown>
}

/** @throws Error with the server's log when it cannot be reached */
export async function launch (program: ServerProgram): Promise<Server> {
  const { url, folder } = program
  const server = {
    url,
    process: run(program),
    async restart () {
      server.process = run({ ...program, args: await program.argsAfterwards?.() ?? program.args })
      await reachable(program, server.process)
    },
    async stop () {
      const { process: child } = server
      if (child.exitCode === null && child.signalCode === null) {
        // Its data goes with it, so that it has nothing to finish.
        child.kill('SIGKILL')
        await once(child, 'exit')
      }
      await rm(folder, { recursive: true, force: true, maxRetries: 10 })
    }
  }
  try {
    await reachable(program, server.process)
  } catch (error) {
    await server.stop()
    throw error
  }
  return server
}

function run ({ daemon, args, user }: ServerProgram): ChildProcess {
  return spawn(daemon, args, { stdio: ['ignore', 'ignore', 'pipe'], ...user })
}

async function reachable ({ connect, url }: ServerProgram, child: ChildProcess): Promise<void> {
  let log = ''
  child.stderr?.on('data', chunk => { log = `${log}${String(chunk)}`.slice(-10_000) })
  for (let attempt = 0; attempt < 300; attempt++) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the database server ended with ${child.signalCode ?? `code ${child.exitCode}`}:\n${log}`)
    try {
      await connect(url)
      return
    } catch {
      await sleep(100)
    }
  }
  throw new Error(`the database server does not answer:\n${log}`)
}

/** The first of the folders that has a program, those of PATH before others. */
export function find (program: string, ...others: string[]): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin', ...others]
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

/** The same, and one that no system gives to an outgoing connection: whoever comes back finds it free again. */
export async function lastingPort (): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 32_000)
    const server = createServer().listen(port, '127.0.0.1')
    if (!await once(server, 'listening').then(() => true, () => false)) continue
    server.close()
    await once(server, 'close')
    return port
  }
}

/** Who runs what must not run as root: Debian's user for it, or nobody. Whoever is not root runs it as they are. */
export function unprivileged (name: string): ServerProgram['user'] {
  if (userInfo().username !== 'root') return undefined
  const id = (option: '-u' | '-g') => [name, 'nobody'].map(user => Number(spawnSync('id', [option, user], { encoding: 'utf8' }).stdout)).find(id => id > 0)
  return { uid: Number(id('-u')), gid: Number(id('-g')) }
}
