import { spawnSync, type SpawnSyncReturns } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { childEnvironment as env } from '../test/support/child-environment.ts'

export const ROOT = join(import.meta.dirname, '..')

/** Checks that go on after one has failed. */
export class Checks {
  readonly #failed: string[] = []

  /** Runs a command, whose exit code says whether it has failed. */
  run (title: string, folder: string, command: string, ...args: string[]): boolean {
    console.log(`\n> ${title}`)
    const { status, error } = spawnSync(command, args, { stdio: 'inherit', cwd: folder, env })
    return this.that(title, status === 0, error?.message)
  }

  that (title: string, holds: boolean, otherwise = ''): boolean {
    if (!holds) {
      console.error(otherwise)
      this.#failed.push(title)
    }
    return holds
  }

  /** Packs the package as it would be published. Gives the tarball. */
  pack (folder: string): string | undefined {
    if (!this.run('npm pack', folder, 'npm', 'pack', ROOT, '--pack-destination', folder, '--loglevel', 'error')) return undefined
    return join(folder, readdirSync(folder).find(file => file.endsWith('.tgz')) ?? 'no tarball')
  }

  /** Says what has failed, and lets the process fail with it. */
  end (): void {
    if (this.#failed.length === 0) return
    console.error(`\nfailed: ${this.#failed.join(', ')}`)
    process.exitCode = 1
  }
}

/** @throws with what it has said, where it has failed */
export function output (folder: string, command: string, ...args: string[]): string {
  const { status, stdout, stderr, error }: SpawnSyncReturns<string> = spawnSync(command, args, { cwd: folder, encoding: 'utf8', env })
  if (status !== 0) throw error ?? new Error(`${command} ${args.join(' ')}\n${stdout}${stderr}`)
  return stdout
}
