/** Runs random handlers and compares what comes of them: `npm run programs -- --help`. */
import fc from 'fast-check'
import { runCommand } from '../scripts/command-line.ts'
import { HELP, readArguments, type Arguments } from './arguments.ts'
import { programs } from './generate.ts'
import { labelsOf } from './program.ts'
import { describe, summary, type Finding } from './report.ts'
import { shapeOf } from './shape.ts'
import { Trial, type Opinion } from './trial.ts'

async function main (args: string[], signal: AbortSignal): Promise<number> {
  const given = readArguments(args)
  const trial = await Trial.open(given)
  const started = performance.now()
  const progress = setInterval(() => console.error(`${trial.figures.programs} programs`), 10_000)
  const shapes = new Map<string, number>()
  try {
    for await (const finding of findings(trial, given, signal)) {
      const shape = shapeOf(finding.program, finding.opinion.differences)
      const times = shapes.get(shape) ?? 0
      shapes.set(shape, times + 1)
      if (times === 0) console.log(`\n${describe(finding, given)}\n`)
      if (shapes.size === given.keepGoing) break
    }
  } finally {
    clearInterval(progress)
    await trial.close()
  }
  console.log(summary(trial.figures, given, (performance.now() - started) / 1000))
  for (const [shape, times] of shapes) console.log(`  ${times} times ${shape}`)
  console.log(`differences: ${shapes.size}`)
  return shapes.size === 0 ? 0 : 1
}

/** Searches on with the next seed after each one, until as many programs have been run as were asked for. */
async function * findings (trial: Trial, { count, seed: firstSeed, path, without }: Arguments, signal: AbortSignal): AsyncGenerator<Finding> {
  const arbitrary = programs(trial.abilities).filter(program => !without.some(label => labelsOf(program).has(label)))
  for (let seed = firstSeed, left = count; left > 0; seed++) {
    let last: Opinion | undefined
    const property = fc.asyncProperty(arbitrary, async program => {
      signal.throwIfAborted()
      const opinion = await trial.judge(program)
      if (opinion.differences.length > 0) last = opinion
      return opinion.differences.length === 0
    })
    const { counterexample, counterexamplePath, numRuns, errorInstance } = await fc.check(property, path === undefined ? { seed, numRuns: left } : { seed, path, numRuns: 1, endOnFailure: true })
    signal.throwIfAborted()
    left = path === undefined ? left - numRuns : 0
    if (counterexample === null) continue
    // Without an opinion it is the harness itself that has failed.
    if (last === undefined) throw errorInstance
    yield { program: counterexample[0], opinion: last, seed, path: counterexamplePath ?? '', number: numRuns }
  }
}

await runCommand(HELP, main)
