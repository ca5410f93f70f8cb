import { isDeepStrictEqual } from 'node:util'
import type { Arguments } from './arguments.ts'
import type { Program } from './program.ts'
import { named, type NamedRow } from './rows.ts'
import { source } from './source.ts'
import type { Figures, Opinion } from './trial.ts'

/** A program that has come to nothing good, and how to see it again. */
export interface Finding {
  readonly program: Program
  readonly opinion: Opinion
  readonly seed: number
  readonly path: string
  /** Which one of its seed it was. */
  readonly number: number
}

export function describe ({ program, opinion: { run, verdict, differences }, seed, path, number }: Finding, { database, plugin, without }: Arguments): string {
  const rows = named(run.rows).map(line)
  const others = verdict === undefined ? rows : named(verdict.rows).map(line)
  return [
    `program ${number} of seed ${seed}, made as small as it gets:`,
    '',
    source(program),
    '',
    ...differences.map(difference => `- ${difference}`),
    '',
    `answered ${run.status}${run.message === undefined ? '' : ` ${run.message}`}; then in the database:`,
    ...rows,
    ...isDeepStrictEqual(rows, others) ? [] : ['with SQLAlchemy:', ...others.filter(other => !rows.includes(other))],
    '',
    `again: npm run programs -- --database ${database} --seed ${seed} --path ${path} --plugin ${plugin}${without.length === 0 ? '' : ` --without '${without.join(',')}'`}`
  ].join('\n')
}

function line ({ name, ...row }: NamedRow): string {
  return `  ${name} ${JSON.stringify(row)}`
}

export function summary ({ programs, compared, committed, rolledBack, lockTimeouts, failedLoudly }: Figures, { database, seed }: Arguments, seconds: number): string {
  return [
    `programs on ${database}, seed ${seed}: ${programs} in ${Math.round(seconds)} s (${Math.round(programs / seconds)} per second)`,
    `  ${committed} committed, ${rolledBack} rolled back`,
    `  ${compared} compared with SQLAlchemy, ${programs - compared} with the database alone: of these ${failedLoudly} failed loudly, ${lockTimeouts} met a lock timeout`
  ].join('\n')
}
