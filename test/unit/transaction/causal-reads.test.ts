import { MysqlAdapter } from 'kysely'
import t from 'tap'
import { assertCausal } from '../../../lib/transaction/causal-reads.ts'

const connection = () => ({ getClient: () => ({ getExecutor: () => ({ adapter: new MysqlAdapter() }) }) }) as never
const pool = (error: Error) => ({ ask: async () => { throw error } }) as never

void t.test('a server that does not know the question is none that can wait', async t => {
  const unknown = Object.assign(new Error('Unknown system variable'), { errno: 1193, sqlState: 'HY000' })
  await t.rejects(assertCausal(connection(), 'main', pool(unknown)), { code: 'FST_SCOPED_DB_INVALID_OPTION', message: /got "main", which is none/ })
})

void t.test('one that could not be asked is asked again', async t => {
  const lost = Object.assign(new Error('gone'), { code: 'ECONNRESET' })
  const server = connection()
  await t.rejects(assertCausal(server, 'main', pool(lost)), lost)
  await t.rejects(assertCausal(server, 'main', pool(Object.assign(new Error('another'), { code: 'EPIPE' }))), { code: 'EPIPE' })
})
