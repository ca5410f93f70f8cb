/** The quick start of the README, done as somebody does who pastes it. */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { delimiter } from 'node:path'
import { promisify } from 'node:util'
import { childEnvironment } from './child-environment.ts'
import { fencesOf } from './fences.ts'

const shell = fencesOf('README.md').filter(({ language }) => language === 'sh').map(({ code }) => code)

/** What is pasted into an empty folder: it installs, writes the application and starts it. */
export const QUICK_START = shell.find(code => code.includes('node index.js')) ?? ''

/** Its line that installs. */
export const INSTALL = /^npm install .*$/m.exec(QUICK_START)?.[0] ?? ''

/** What is pasted into a second shell, line by line, and what comes back. */
export const CALLS = [...(shell.find(code => code.startsWith('curl ')) ?? '').matchAll(/^(curl .*)\n# (.*)$/gm)]
  .map(([, curl = '', answer = '']) => ({ curl, answer }))

export interface Paste {
  readonly folder: string
  /** In the place of INSTALL. */
  readonly install: string
  /** The folder of its node. */
  readonly bin: string
}

/** Pastes it, calls it and ends it. Gives what came back from each of CALLS. On any free port: others may listen on 3000. */
export async function paste ({ folder, install, bin }: Paste): Promise<string[]> {
  const env = { ...childEnvironment, PATH: `${bin}${delimiter}${process.env['PATH']}` }
  const script = QUICK_START.replace(INSTALL, () => install).replace('port: 3000', 'port: 0').replace(/^node /m, 'exec node ')
  const app = spawn('bash', ['-e'], { cwd: folder, env, timeout: 300_000, killSignal: 'SIGKILL' })
  const ended = once(app, 'close')
  let output = ''
  for (const stream of [app.stdout, app.stderr]) stream.setEncoding('utf8').on('data', text => { output += text })
  app.stdin.end(script)
  try {
    const listening = /listening at http:\/\/[^"]+:(\d+)"/
    while (!listening.test(output)) {
      const [code] = await Promise.race([once(app.stdout, 'data'), ended])
      if (typeof code !== 'string') throw new Error(`it has ended too early:\n${output}`)
    }
    const host = `localhost:${listening.exec(output)?.[1]}`
    const answers: string[] = []
    for (const { curl } of CALLS) {
      const { stdout } = await promisify(execFile)('bash', ['-c', curl.replace('localhost:3000', host)], { encoding: 'utf8' })
      answers.push(stdout)
    }
    return answers
  } finally {
    app.kill('SIGKILL')
    await ended
  }
}
