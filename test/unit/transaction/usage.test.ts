import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { StatementUsage } from '../../../lib/transaction/usage.ts'

void t.test('a statement that is sent again has waited until it was sent for the last time, and no longer', async t => {
  const usage = new StatementUsage()
  await usage.measure(async sending => {
    for (let n = 0; n < 3; n++) {
      await setTimeout(5)
      sending()
    }
  })
  t.equal(usage.statements, 1)
  t.ok(usage.waited > 0)
  t.ok(usage.waited <= usage.milliseconds)
})

void t.test('a statement that was never sent has waited all the time', async t => {
  const usage = new StatementUsage()
  await t.rejects(usage.measure(async () => { throw await setTimeout(5, new Error('no connection')) }), { message: 'no connection' })
  t.ok(usage.waited > 0)
  t.equal(usage.waited, usage.milliseconds)
})
