import { registerHooks } from 'node:module'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Test } from 'tap'

type Body = (t: Test) => unknown

/** A test that is kept, rather than run once while its file is loaded. */
export interface CollectedTest {
  /** File and name: there are no two tests of the same id. */
  readonly id: string
  readonly file: string
  readonly body: Body
}

export const collectedTests = new Map<string, CollectedTest>()

/** What files of tests undo when all of their tests are over. */
export const teardowns: (() => unknown)[] = []

let currentFile = ''

/** Loads a file of tests, for which this module stands in for `tap`. */
export async function collectFrom (file: string): Promise<void> {
  currentFile = file
  await import(pathToFileURL(resolve(file)).href)
}

/** From now on, this module is what everything but run-test.ts gets for `tap`. */
export function standInForTap (): void {
  const runTest = new URL('run-test.ts', import.meta.url).href
  registerHooks({
    resolve: (specifier, context, next) => specifier === 'tap' && context.parentURL !== runTest
      ? { url: import.meta.url, shortCircuit: true }
      : next(specifier, context)
  })
}

function test (name: string, ...rest: [Body] | [options: object, Body]): void {
  const id = `${currentFile} > ${name}`
  if (collectedTests.has(id)) throw new Error(`There are two tests with this name: ${id}`)
  collectedTests.set(id, { id, file: currentFile, body: rest.at(-1) as Body })
}

/** As much of `tap` as files of tests use outside of their tests. */
export default {
  jobs: 1,
  test,
  teardown: (undo: () => unknown) => { teardowns.push(undo) }
}
