import { MysqlAdapter, SqliteAdapter } from 'kysely'
import t from 'tap'
import { Replicas } from '../../../lib/replicas/replicas.ts'

/** Those of a database that is never asked. */
function replicasOf (adapter: object): Replicas {
  const primary = { getClient: () => ({ getExecutor: () => ({ adapter }) }) }
  return new Replicas(primary as never, [], () => true, { name: 'default', acquireTimeout: 1, replicas: undefined, readYourWrites: undefined }, console as never)
}

void t.test('of two positions the later one counts, in whichever order they come', async t => {
  const replicas = replicasOf(new MysqlAdapter())
  t.equal(replicas.later('0-1-6', '0-1-5'), '0-1-6')
  t.equal(replicas.later('0-1-5', '0-1-6'), '0-1-6')
  t.ok(replicas.isPosition('0-1-5'))
  t.notOk(replicas.isPosition('0/5'))
})

void t.test('a database without positions takes nothing for one', async t => {
  t.notOk(replicasOf(new SqliteAdapter()).isPosition('0-1-5'))
})
