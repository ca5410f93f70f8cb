import type { ContenderName } from '../contenders/all.ts'
import type { Series } from '../measure/throughput.ts'
import { ratios, type Spread } from '../statistics.ts'

/** What the others are compared with: the limit where no database is used, and elsewhere what MikroORM's documentation tells to do. */
export function referenceOf ({ rounds }: Series): ContenderName {
  return rounds.bare === undefined ? 'request-context' : 'bare'
}

export function ratiosOf ({ rounds }: Series, name: ContenderName, reference: ContenderName): Spread {
  const cpu = (of: ContenderName) => (rounds[of] ?? []).map(round => round.cpu)
  return ratios(cpu(name), cpu(reference))
}

/** How many milliseconds each collection of the young generation of the heap took, in all rounds. */
export function scavengesOf ({ rounds }: Series, name: ContenderName): number[] {
  return (rounds[name] ?? []).flatMap(({ scavenges }) => scavenges)
}
