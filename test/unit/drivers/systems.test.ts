import t from 'tap'
import { DRIVERS } from '../../../lib/drivers/drivers.ts'

void t.test('each database has the name that OpenTelemetry has for it', async t => {
  const names = DRIVERS.map(({ adapters: [adapter = 'unknown'], systemOf }) => [adapter, systemOf('')])
  t.same(Object.fromEntries(names), {
    MysqlAdapter: 'mysql',
    PostgresAdapter: 'postgresql',
    PGliteAdapter: 'postgresql',
    SqliteAdapter: 'sqlite',
    MssqlAdapter: 'microsoft.sql_server',
    unknown: 'other_sql'
  })
})

void t.test('MikroORM has two drivers for one protocol', async t => {
  t.same(DRIVERS.map(({ systemOf }) => systemOf('MariaDbDriver')).filter(system => system === 'mariadb'), ['mariadb'])
})
