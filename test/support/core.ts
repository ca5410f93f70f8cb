/** What every driver has to pass: units of work, endings, savepoints and isolation, by way of the driver that TEST_DATABASE names. */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { createDatabase } from './databases.ts'
import { OTHER_DRIVERS, otherDriver } from './drivers.ts'
import { registeredTests } from './on-each-database.ts'

const FILES = [
  'units-of-work/commit', 'units-of-work/commit-on-teardown', 'units-of-work/commit-streams', 'units-of-work/after-outcome',
  'units-of-work/failing-commit', 'units-of-work/nesting', 'units-of-work/read-only', 'units-of-work/run', 'units-of-work/savepoints',
  'endings/client-leaves', 'endings/hooks', 'endings/late-changes', 'errors/map-errors', 'diagnostics/transactions', 'diagnostics/scopes', 'diagnostics/echo',
  'diagnostics/tags'
]

/** PGlite takes no several statements in one text, has no query streams, and no second connection that could look beside a transaction. */
const NOT_ON_PGLITE = ['units-of-work/ending-statements', 'units-of-work/failed-transaction', 'units-of-work/query-streams', 'endings/streams', 'testing/isolate', 'testing/isolate-release', 'diagnostics/statements']

const NAMES = { mariadb: 'MariaDbDriver', libsql: 'LibSqlDriver', pglite: 'PgliteDriver' }

const name = otherDriver()
if (name === undefined) throw new Error(`TEST_DATABASE has to name one of ${Object.keys(OTHER_DRIVERS).join(', ')}`)

void t.test(`the driver is that of @mikro-orm/${name}`, async t => {
  const database = await createDatabase(OTHER_DRIVERS[name])
  t.equal(database.witness.driver.constructor.name, NAMES[name])
  await database.drop()
})

for (const file of name === 'pglite' ? FILES : [...FILES, ...NOT_ON_PGLITE]) {
  const before = registeredTests()
  await import(pathToFileURL(resolve(`test/${file}.test.ts`)).href)
  if (registeredTests() === before) throw new Error(`${file} has no test for ${name}`)
}
