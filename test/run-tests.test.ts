/** What `npm test` is made of. */
import t from 'tap'
import { availableKinds } from './support/databases.ts'

void t.test('an empty variable is one that is not set, and a database that is not there is an error', async t => {
  t.intercept(process, 'env', { value: { MYSQL_URL: '', TEST_DATABASE: '' } })
  t.same(availableKinds(), ['sqlite'])
  process.env['TEST_DATABASE'] = 'mysql'
  t.throws(availableKinds, { message: 'TEST_DATABASE=mysql: there is only sqlite' })
  process.env['MYSQL_URL'] = 'mysql://root@127.0.0.1:3306'
  t.same(availableKinds(), ['mysql'])
})
