import { commonTokens, declareClassPlugin, PluginKind, tokens } from '@stryker-mutator/api/plugin'
import type { StrykerOptions } from '@stryker-mutator/api/core'
import type { Logger } from '@stryker-mutator/api/logging'
import { DryRunStatus, MutantRunStatus, TestStatus, type DryRunResult, type MutantRunOptions, type MutantRunResult, type TestResult, type TestRunner } from '@stryker-mutator/api/test-runner'
import { performance } from 'node:perf_hooks'
import { collectedTests, collectFrom, standInForTap, teardowns, type CollectedTest } from './collected-tests.ts'
import { durationOf, saveDurations, timeLimitOf } from './durations.ts'
import { activate, attributeTo, coverage, deactivate, runsForEver } from './instrumentation.ts'
import { runTest } from './run-test.ts'

/** Milliseconds that a test may take without a mutant. */
const LONGEST = 60_000

interface SameProcessOptions {
  readonly sameProcess: {
    /** Paths from the root of the project, in the order in which they are loaded. */
    readonly testFiles: readonly string[]
  }
}

export const strykerValidationSchema = {
  properties: {
    sameProcess: {
      type: 'object',
      required: ['testFiles'],
      additionalProperties: false,
      properties: { testFiles: { type: 'array', minItems: 1, items: { type: 'string' } } }
    }
  }
}

/**
 * Runs the tests of tap on one mutant after the other in the same process, where Stryker's own runner starts a process for each: modules are
 * loaded once and optimized, and only the tests that reach a mutant are run, the one that has
 * killed the last mutant first, and quick ones before slow ones.
 *
 * A test kills a mutant when it fails with it, passes without it, and fails with it again. If it does not pass without it, a mutant has
 * left something behind: then the process ends, and Stryker starts another one.
 */
class SameProcessRunner implements TestRunner {
  static readonly inject = tokens(commonTokens.options, commonTokens.logger)
  readonly #files: readonly string[]
  readonly #log: Logger
  /** Tests by the number of the kill that they did last. */
  readonly #lastKills = new Map<string, number>()
  #kills = 0
  #state: 'fresh' | 'used' | 'tainted' = 'fresh'

  constructor (options: StrykerOptions, log: Logger) {
    this.#files = (options as StrykerOptions & SameProcessOptions).sameProcess.testFiles
    this.#log = log
  }

  capabilities (): { reloadEnvironment: boolean } {
    return { reloadEnvironment: false }
  }

  init (): Promise<void> {
    standInForTap()
    return Promise.resolve()
  }

  async dryRun (): Promise<DryRunResult> {
    await this.#load()
    const results: TestResult[] = []
    for (const test of collectedTests.values()) {
      attributeTo(test.id)
      const start = performance.now()
      const failureMessage = await runTest(test, LONGEST)
      const result = { id: test.id, name: test.id, fileName: test.file, timeSpentMs: performance.now() - start }
      results.push(failureMessage === undefined ? { ...result, status: TestStatus.Success } : { ...result, status: TestStatus.Failed, failureMessage })
    }
    attributeTo(undefined)
    saveDurations(Object.fromEntries(results.map(({ id, timeSpentMs }) => [id, timeSpentMs])))
    return { status: DryRunStatus.Complete, tests: results, mutantCoverage: coverage() }
  }

  async mutantRun (options: MutantRunOptions): Promise<MutantRunResult> {
    if (this.#state === 'tainted') process.exit(1)
    try {
      return options.mutantActivation === 'static' ? await this.#runStatic(options) : await this.#runAll(options)
    } finally {
      deactivate()
      if (this.#state === 'fresh') this.#state = 'used'
    }
  }

  async dispose (): Promise<void> {
    for (const undo of teardowns) await undo()
  }

  /** A mutant in what runs while modules are loaded, which has to be on by then and cannot be turned off again. */
  async #runStatic (options: MutantRunOptions): Promise<MutantRunResult> {
    activate(options)
    try {
      await this.#load()
    } catch (error) {
      return this.#killed(String(error), 0)
    } finally {
      this.#state = 'tainted'
    }
    return await this.#runAll(options)
  }

  async #runAll (options: MutantRunOptions): Promise<MutantRunResult> {
    await this.#load()
    const tests = this.#inOrder(options.testFilter ?? [...collectedTests.keys()])
    for (const [index, test] of tests.entries()) {
      activate(options)
      const failure = await runTest(test, timeLimitOf(test.id))
      if (runsForEver()) {
        this.#state = 'tainted'
        return { status: MutantRunStatus.Timeout, reason: `${test.id}: a line runs too often` }
      }
      if (failure !== undefined && await this.#isTheMutants(test, options)) return this.#killed(failure, index + 1, test.id)
    }
    return { status: MutantRunStatus.Survived, nrOfTests: tests.length }
  }

  /** Whether it is the mutant that makes a test fail, and not what earlier ones have left behind, or chance. */
  async #isTheMutants (test: CollectedTest, options: MutantRunOptions): Promise<boolean> {
    if (options.mutantActivation === 'runtime') {
      deactivate()
      if (await runTest(test, timeLimitOf(test.id)) !== undefined) {
        if (this.#state !== 'fresh') process.exit(1)
        this.#state = 'tainted'
        return true
      }
      activate(options)
    }
    if (await runTest(test, timeLimitOf(test.id)) !== undefined) return true
    this.#log.warn('Failed once and passed then, with mutant %s: %s', options.activeMutant.id, test.id)
    return false
  }

  #killed (failureMessage: string, nrOfTests: number, testId?: string): MutantRunResult {
    if (testId !== undefined) this.#lastKills.set(testId, ++this.#kills)
    return { status: MutantRunStatus.Killed, killedBy: testId === undefined ? [] : [testId], failureMessage, nrOfTests }
  }

  #inOrder (ids: readonly string[]): CollectedTest[] {
    const tests = ids.map(id => {
      const test = collectedTests.get(id)
      if (test === undefined) throw new Error(`There is no test ${id}`)
      return test
    })
    const lastKill = ({ id }: CollectedTest) => this.#lastKills.get(id) ?? 0
    return tests.sort((a, b) => lastKill(b) - lastKill(a) || durationOf(a.id) - durationOf(b.id))
  }

  async #load (): Promise<void> {
    if (collectedTests.size > 0) return
    for (const file of this.#files) await collectFrom(file)
  }
}

export const strykerPlugins = [declareClassPlugin(PluginKind.TestRunner, 'same-process', SameProcessRunner)]
