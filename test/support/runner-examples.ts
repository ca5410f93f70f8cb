import { fencesOf, type Fence } from './fences.ts'

/** The examples of docs/testing.md, each named as a file that its runner finds. */
export function runnerExamples (): Fence[] {
  return fencesOf('docs/testing.md').flatMap(fence => {
    const runner = /\brunner=(\S+)/.exec(fence.info)?.[1]
    return runner === undefined ? [] : [{ ...fence, name: `${runner}.test` }]
  })
}
