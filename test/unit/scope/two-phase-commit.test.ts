import t from 'tap'
import { commitTogether } from '../../../lib/scope/two-phase-commit.ts'
import type { PreparedCommit } from '../../../lib/transaction/contracts.ts'

void t.test('a commit that finds something new whenever it has the turn', async t => {
  const done: string[] = []
  const participant = {
    database: { name: 'default' },
    isDirty: () => false,
    hasSavepoints: false,
    hasUnflushed: () => true,
    savepointsOver: async () => {},
    flush: async () => true,
    transactions: {
      announceCommit: () => undefined,
      prepareCommit: async (): Promise<PreparedCommit> => ({
        hasBegun: true,
        hasWaiter: async () => {},
        commit: async () => { done.push('COMMIT') },
        release: () => { done.push('released') },
        announceDone: () => undefined
      })
    }
  }
  await t.rejects(commitTogether([participant as never], [], { assertWhole () {} }), { code: 'FST_SCOPED_DB_ENDLESS_FLUSH' })
  t.same(new Set(done), new Set(['released']))
})
