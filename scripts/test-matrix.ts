/** `npm run test:matrix`: the package as it would be published, with the oldest and the newest of all that it works with. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Checks } from './checks.ts'
import { checkCorners, choices } from './matrix.ts'

const folder = mkdtempSync(join(tmpdir(), 'matrix-'))
const checks = new Checks()
try {
  const tarball = checks.pack(folder)
  if (tarball !== undefined) checkCorners(checks, tarball, folder, choices().all)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
checks.end()
