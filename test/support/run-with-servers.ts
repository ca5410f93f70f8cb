import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { exitCodeOf, runCommand, SIGNALS } from './command.ts'
import type { Server } from './server.ts'

/** A kind of server that tests run on. */
export interface ServerKind {
  readonly name: string
  /** What TEST_DATABASE may say that needs it. */
  readonly databases: readonly string[]
  /** The environment variable with its address. With it set, that server is used and left alone. An empty one names none. */
  readonly variable: string
  readonly howToGetOne: string
  /** @returns undefined when this machine has none */
  start (): Promise<Server | undefined>
}

/**
 * Starts a server of each kind that the run needs, runs a command with their addresses in its environment, and stops them again,
 * however the command ends. With TEST_DATABASE there are only those that it needs.
 * @returns the exit code
 */
export async function runWithServers (kinds: readonly ServerKind[], [command = 'true', ...args]: string[]): Promise<number> {
  const interruption = new AbortController()
  const { signal } = interruption
  for (const name of SIGNALS) process.on(name, () => { interruption.abort(name) })
  // What is temporary is all in here, so that nothing of it stays behind of those that a signal has ended.
  const folder = await mkdtemp(join(tmpdir(), 'scoped-db-'))
  // A server that is another user's goes through it to its own.
  await chmod(folder, 0o711)
  process.env['TMPDIR'] = folder
  const servers: Server[] = []
  let code = 0
  try {
    for (const { name, variable, howToGetOne, start } of kinds.filter(isNeeded)) {
      const server = signal.aborted ? undefined : await start()
      if (server !== undefined) {
        servers.push(server)
        process.env[variable] = server.url
      } else if (!signal.aborted) {
        console.error(`\n*** no ${name} server: the tests on ${name} are skipped. ${howToGetOne} ***\n`)
        if (process.env['CI'] === 'true') return 1
      }
    }
    if (!signal.aborted) code = await runCommand(command, args, signal)
  } catch (error) {
    // Ctrl-C ends what sets up a server as well.
    if (!signal.aborted) throw error
  } finally {
    await Promise.all(servers.map(server => server.stop()))
    await rm(folder, { recursive: true, force: true, maxRetries: 10 })
  }
  return signal.aborted ? exitCodeOf(signal.reason as NodeJS.Signals) : code
}

function isNeeded ({ databases, variable }: ServerKind): boolean {
  const only = process.env['TEST_DATABASE']
  return !process.env[variable] && (!only || databases.includes(only))
}
