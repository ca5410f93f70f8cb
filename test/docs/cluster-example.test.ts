/** examples/cluster: what its README promises. */
import t from 'tap'
import { canStartCluster } from '../support/cluster.ts'
import { runScript } from '../support/run-script.ts'

void t.test('a node and a process are killed, and nobody was told wrongly', { skip: !canStartCluster() && process.env['CI'] !== 'true' && 'no Galera or no HAProxy' }, async t => {
  const { code, output } = await runScript('examples/cluster/main.ts')
  t.equal(code, 0, output)
  for (const line of [/node 2 is killed/, /node 2 is back/, /process \d+ is killed, and replaced/, /they have ended, with exit code 0/]) t.match(output, line)
  const [, told, there] = /^201 +(\d+) +(\d+)$/m.exec(output) ?? []
  t.ok(Number(told) > 0)
  t.equal(there, told, 'all that was answered with 201 is there')
  t.match(output, /^sold: (\d+), in \1 orders; the same on each node$/m)
})
