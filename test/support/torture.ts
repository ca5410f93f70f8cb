import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('../../torture/main.ts', import.meta.url))

/** Runs the torture as a user would, and waits for its verdict. */
export async function torture (...args: string[]): Promise<{ code: number | null, output: string }> {
  // Without NODE_OPTIONS there is no coverage, which processes that are killed on purpose could not report.
  const child = spawn('env', ['-u', 'NODE_OPTIONS', process.execPath, MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  child.stdout.on('data', chunk => { output += String(chunk) })
  child.stderr.on('data', chunk => { output += String(chunk) })
  const [code] = await once(child, 'close') as [number | null]
  return { code, output }
}
