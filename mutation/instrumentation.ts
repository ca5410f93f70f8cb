import type { MutantCoverage } from '@stryker-mutator/api/core'
import type { MutantRunOptions } from '@stryker-mutator/api/test-runner'

/** What the code that Stryker has written into `lib/` looks at, by the name it has there. */
interface Instrumentation {
  activeMutant?: string | undefined
  currentTestId?: string | undefined
  hitCount?: number | undefined
  hitLimit?: number | undefined
  mutantCoverage?: MutantCoverage
}

const instrumentation: Instrumentation = (globalThis as { __stryker__?: Instrumentation }).__stryker__ ??= {}

/** Turns a mutant on, in this process and in those that it starts. */
export function activate ({ activeMutant, hitLimit }: MutantRunOptions): void {
  process.env['__STRYKER_ACTIVE_MUTANT__'] = activeMutant.id
  Object.assign(instrumentation, { activeMutant: activeMutant.id, hitLimit, hitCount: 0 })
}

export function deactivate (): void {
  delete process.env['__STRYKER_ACTIVE_MUTANT__']
  Object.assign(instrumentation, { activeMutant: undefined, hitLimit: undefined, hitCount: undefined })
}

/** Whether the mutant has run a line a hundred times as often as the tests do without it: it would run for ever. */
export function runsForEver (): boolean {
  const { hitCount = 0, hitLimit = Infinity } = instrumentation
  return hitCount > hitLimit
}

/** What runs from now on is of this test; without one, it is what runs while files are loaded. */
export function attributeTo (testId: string | undefined): void {
  instrumentation.currentTestId = testId
}

export function coverage (): MutantCoverage {
  return instrumentation.mutantCoverage ?? { static: {}, perTest: {} }
}
