import t from 'tap'
import { precedenceOf, type Comer } from '../../../lib/fastify/reply-precedence.ts'

const first: Comer = { state: 'awaited', statusCode: 200, headersSent: false, hasFailed: false, isLast: true, scope: { state: 'open', hasWritten: true } }

/** What differs from the first reply of a request, and what becomes of the reply then. */
const CASES: [expected: ReturnType<typeof precedenceOf>, comer: Partial<Comer>][] = [
  ['decides', {}],
  ['superseded', { isLast: false }],
  ['superseded', { state: 'flushing' }],
  ['decides', { state: 'flushing', hasFailed: true }],
  ['decides', { state: 'gone' }],
  ['superseded', { scope: { state: 'ending', hasWritten: true } }],
  ['decides', { scope: { state: 'destroyed', hasWritten: true } }],
  ['follows', { state: 'gone', scope: { state: 'destroyed', hasWritten: true } }],
  ['superseded', { headersSent: true, scope: { state: 'destroyed', hasWritten: true } }],
  ['follows', { scope: { state: 'committed', hasWritten: true } }],
  ['superseded', { headersSent: true, scope: { state: 'committed', hasWritten: true } }],
  ['untrue', { statusCode: 500, scope: { state: 'committed', hasWritten: true } }],
  ['follows', { statusCode: 500, scope: { state: 'committed', hasWritten: false } }],
  ['follows', { statusCode: 500, scope: { state: 'rolled back', hasWritten: true } }],
  ['superseded', { headersSent: true, scope: { state: 'closed', hasWritten: true } }]
]

void t.test('which of several replies counts', async t => {
  for (const [expected, comer] of CASES) t.equal(precedenceOf({ ...first, ...comer }), expected, JSON.stringify(comer))
})
