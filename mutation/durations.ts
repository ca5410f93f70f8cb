import { existsSync, readFileSync, writeFileSync } from 'node:fs'

/** How many milliseconds each test takes without a mutant, by its id. Processes share it in a file of the sandbox. */
type Durations = Record<string, number>

const FILE = 'test-durations.json'

let durations: Durations | undefined

export function saveDurations (measured: Durations): void {
  writeFileSync(FILE, JSON.stringify(measured))
}

export function durationOf (testId: string): number {
  durations ??= existsSync(FILE) ? JSON.parse(readFileSync(FILE, 'utf8')) as Durations : {}
  return durations[testId] ?? 0
}

/**
 * How many milliseconds a test may take before it counts as hanging. It is run three times over until it counts as failed, so the limit is
 * close; processes that share the processors may each be several times slower than the one that measured.
 */
export function timeLimitOf (testId: string): number {
  return 3000 + 5 * durationOf(testId)
}
