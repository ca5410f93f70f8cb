import t from 'tap'
import { MYSQL } from '../../../lib/drivers/mysql.ts'
import { assertCausal } from '../../../lib/transaction/causal-reads.ts'

const connection = (error: Error, client: object) => ({ owner: { client }, driver: MYSQL, send: async () => { throw error } }) as never

void t.test('one that could not be asked is asked again', async t => {
  const lost = Object.assign(new Error('gone'), { code: 'ECONNRESET' })
  const client = {}
  await t.rejects(assertCausal(connection(lost, client), 'main'), lost)
  await t.rejects(assertCausal(connection(Object.assign(new Error('another'), { code: 'EPIPE' }), client), 'main'), { code: 'EPIPE' })
})
