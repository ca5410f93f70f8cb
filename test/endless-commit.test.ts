import t from 'tap'
import { commitTogether } from '../lib/scope/two-phase-commit.ts'

void t.test('a commit that finds something new whenever it has the turn', async t => {
  const done: string[] = []
  const participant = {
    database: { name: 'default' },
    isDirty: () => false,
    hasSavepoints: false,
    hasUnflushed: true,
    savepointsOver: async () => {},
    flush: async () => true,
    transactions: {
      announceCommit: () => undefined,
      prepareCommit: async () => ({ hasBegun: true, carryOut: async () => { done.push('COMMIT') }, leave: () => { done.push('left') }, announceDone: () => undefined })
    }
  }
  await t.rejects(commitTogether([participant as never], []), { code: 'FST_SCOPED_DB_ENDLESS_FLUSH' })
  t.same(new Set(done), new Set(['left']))
})
