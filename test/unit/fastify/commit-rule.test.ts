import t from 'tap'
import { decide, type ErrorState } from '../../../lib/fastify/commit-rule.ts'
import type { CommitRule } from '../../../lib/options/options.ts'

const state = (own: Partial<ErrorState>): ErrorState => ({ request: {} as never, reply: {} as never, statusCode: 200, error: undefined, isRollbackOnly: false, ...own })

const always: CommitRule = () => true

/** The outcome by rule and state, and why. */
const CASES: [outcome: string, why: string, rules: (boolean | CommitRule)[], state: Partial<ErrorState>][] = [
  ['commit', 'status 201', [true], { statusCode: 201 }],
  ['commit', 'status 303', [true, true], { statusCode: 303 }],
  ['rollback', 'status 409', [true], { statusCode: 409 }],
  ['rollback', 'an error was thrown or sent', [true], { error: new Error('no') }],
  ['rollback', 'an error was thrown or sent', [true], { error: new Error('no'), statusCode: 500 }],
  ['rollback', 'doomed', [true], { isRollbackOnly: true }],
  ['rollback', 'doomed', [always], { isRollbackOnly: true }],
  ['commit', 'as the function given as commitOnTeardown says', [always], { statusCode: 409 }],
  ['rollback', 'as the function given as commitOnTeardown says', [true, always], { statusCode: 409 }]
]

void t.test('commit or rollback, and why', async t => {
  for (const [outcome, why, rules, own] of CASES) {
    const isSurprising = outcome === 'rollback' && (own.statusCode ?? 200) < 400
    t.same(decide(rules, state(own)), { outcome, reason: why, isSurprising })
  }
})
