import t from 'tap'
import { scopeIs } from '../lib/errors/errors.ts'
import { transition, type ScopeState } from '../lib/scope/state.ts'

const STATES: ScopeState[] = ['open', 'completing', 'committed', 'rolled back', 'ended', 'closed']

void t.test('a scope goes forward only, and asking twice changes nothing', async t => {
  const legal = STATES.flatMap(from => STATES.filter(to => from !== to && transition(from, to) === to).map(to => `${from} -> ${to}`))
  t.same(legal, [
    'open -> completing', 'open -> ended', 'open -> closed', 'completing -> committed', 'completing -> rolled back', 'committed -> closed', 'rolled back -> closed', 'ended -> closed'
  ])
  for (const from of STATES) t.equal(transition(transition(from, 'closed'), 'open'), transition(from, 'closed'))
})

void t.test('what comes too late is told how late', async t => {
  t.match(scopeIs('rolled back'), { code: 'FST_SCOPED_DB_SCOPE_CLOSED', message: /: this scope is rolled back\. Nothing more/ })
})
