/**
 * `node scripts/quick-start.ts TARBALL BIN`: pastes the quick start of the README into an empty folder, with this tarball in the place of
 * the package and the node of that folder. What comes back must be what the README shows.
 */
import { deepEqual } from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CALLS, INSTALL, paste } from '../test/support/quick-start.ts'

const [tarball = '', bin = ''] = process.argv.slice(2)
const folder = mkdtempSync(join(tmpdir(), 'quick-start-'))
try {
  const answers = await paste({ folder, bin, install: INSTALL.replace('fastify-scoped-db', tarball) })
  deepEqual(answers, CALLS.map(({ answer }) => answer))
} finally {
  rmSync(folder, { recursive: true, force: true })
}
