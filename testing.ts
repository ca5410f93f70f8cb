/** For tests of applications that use the plugin. See docs/testing.md. */
export { isolate, type Isolation } from './lib/testing/isolate.ts'
