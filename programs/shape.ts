import { labelsOf, type Program } from './program.ts'

/** What differences of one cause have in common, once their programs are as small as they get: the statements, and what differs. */
export function shapeOf (program: Program, differences: readonly string[]): string {
  return `${Array.from(labelsOf(program)).sort().join(' ')}: ${(differences[0] ?? '').replace(/(?<= is| has|:) (["[{\d]|null|undefined).*/, '').replaceAll(/\d+/g, '')}`
}
