import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { ROOT } from './fences.ts'

/** Runs a script of this repository as a user would, and waits for what it says. */
export async function runScript (script: string, ...args: string[]): Promise<{ code: number | null, output: string }> {
  // Without NODE_OPTIONS there is no coverage, which processes that are killed on purpose could not report.
  const child = spawn('env', ['-u', 'NODE_OPTIONS', process.execPath, join(ROOT, script), ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  child.stdout.on('data', chunk => { output += String(chunk) })
  child.stderr.on('data', chunk => { output += String(chunk) })
  const [code] = await once(child, 'close') as [number | null]
  return { code, output }
}
