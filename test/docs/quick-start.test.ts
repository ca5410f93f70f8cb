/** The quick start of the README, but for its download: `npm run check:package` does all of it, with the package as it would be published. */
import { dirname } from 'node:path'
import t from 'tap'
import { QUICK_START as PRELUDE } from '../support/doc-modules.ts'
import { read } from '../support/fences.ts'
import { folderWithPackage } from '../support/installed.ts'
import { CALLS, paste, QUICK_START } from '../support/quick-start.ts'

void t.test('what comes back is what the README shows', async t => {
  t.match(CALLS, { length: 6 })
  t.same(await paste({ folder: folderWithPackage(t), install: '', bin: dirname(process.execPath) }), CALLS.map(({ answer }) => answer))
})

void t.test('the examples of the other pages have its entity', async t => {
  const [, entity = ''] = /^(const User = [^]*?^}\)\n)/m.exec(QUICK_START) ?? []
  t.ok(entity !== '' && PRELUDE.includes(entity), entity)
})

void t.test('its download is tried with the oldest Node that will do', async t => {
  const { engines } = JSON.parse(read('package.json')) as { engines: { node: string } }
  const { dependencies } = JSON.parse(read('scripts/package.json')) as { dependencies: { node: string } }
  t.equal(dependencies.node.replace(/^(\d+\.\d+)\.\d+$/, '>=$1'), engines.node)
})
