import { once } from 'node:events'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type * as Tap from 'tap'
import type { CollectedTest } from './collected-tests.ts'

/** Errors that nobody has caught, which fail the test during which they come up. */
const strayErrors: unknown[] = []

let tap: Promise<typeof Tap> | undefined

/** Runs a test in this process, for `timeout` milliseconds at most. Resolves with what it failed with, or with nothing. */
export async function runTest ({ id, body }: CollectedTest, timeout: number): Promise<string | undefined> {
  const { Test } = await (tap ??= load())
  strayErrors.length = 0
  const test = new Test({ name: id, timeout, cb: body })
  const failures: string[] = []
  test.parser.on('result', ({ ok, name }) => { if (!ok) failures.push(name) })
  test.resume()
  const completed = once(test, 'complete')
  test.runMain(() => {})
  await completed
  test.setTimeout(0)
  await nextTurn()
  failures.push(...strayErrors.map(String))
  return test.results?.ok === true && failures.length === 0 ? undefined : [id, ...failures].join('\n')
}

/** The root test of tap, which nothing runs in, must not time out, nor tell that to the parent process: Stryker would take it for an answer. */
async function load (): Promise<typeof Tap> {
  for (const event of ['uncaughtException', 'unhandledRejection']) process.on(event, error => { strayErrors.push(error) })
  const { send } = process
  delete process.send
  try {
    const tap = await import('tap')
    tap.t.setTimeout(0)
    return tap
  } finally {
    if (send !== undefined) process.send = send
  }
}
