import t from 'tap'
import { Script } from 'node:vm'
import { currentPlace } from '../../../lib/diagnostics/place.ts'

/** Calls it from code of a file, which is not there. */
function placeIn (filename: string): string | undefined {
  const call = new Script('run => run()', { filename }).runInThisContext() as <T>(run: () => T) => T
  return call(currentPlace)
}

void t.test('the place is in the application, in modules of either kind', async t => {
  t.match(currentPlace(), /test\/unit\/diagnostics\/place\.test\.ts:\d+:\d+$/)
  t.equal(placeIn('file:///app/routes%20of/users.js'), '/app/routes of/users.js:1:8')
  t.equal(placeIn('/app/routes/users.cjs'), '/app/routes/users.cjs:1:8')
})

void t.test('packages are not the application, nor is this one', async t => {
  for (const file of ['/app/node_modules/some-package/index.cjs', import.meta.resolve('../../../lib/session/flush.ts')]) {
    t.match(placeIn(file), /place\.test\.ts:\d+:\d+$/, file)
  }
})

void t.test('the limit of stack traces stays as it was', async t => {
  const { stackTraceLimit } = Error
  t.teardown(() => { Error.stackTraceLimit = stackTraceLimit })
  Error.stackTraceLimit = 3
  currentPlace()
  t.equal(Error.stackTraceLimit, 3)
})
