/** Runs test/support/core.ts with each of the other drivers. Fails when one has failed. */
import { spawnSync } from 'node:child_process'
import { OTHER_DRIVERS } from './drivers.ts'

for (const name of Object.keys(OTHER_DRIVERS)) {
  console.log(`\n=== @mikro-orm/${name}`)
  const { status } = spawnSync(process.execPath, ['test/support/tap.ts', 'test/support/core.ts'], { stdio: 'inherit', env: { ...process.env, TEST_DATABASE: name } })
  if (status !== 0) process.exitCode = 1
}
