/** For tests of applications that use the plugin. See docs/testing.md. */
export { isolate, type Isolation } from './lib/testing/isolate.ts'
export { recordStatements } from './lib/testing/record-statements.ts'
export type { RepeatedStatement, SeenStatements, SeenStatement } from './lib/testing/seen-statements.ts'
