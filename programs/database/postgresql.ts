import { MikroORM } from '@mikro-orm/postgresql'
import pg from 'pg'
import { startServer } from '../../test/support/postgresql.ts'
import { UsageError } from '../../scripts/command-line.ts'
import { entities } from '../entities.ts'
import { rowsOf, type Tables } from '../rows.ts'
import { EMPTY, READ, SEEDS } from '../seeds.ts'
import type { Database } from './database.ts'

const NAME = 'programs'

/** SQLAlchemy's. */
const OTHER = 'programs_sqlalchemy'

/** @throws UsageError when this machine has no PostgreSQL to start */
export async function openPostgreSql (): Promise<Database> {
  // Nobody has to wait long for a lock.
  const server = await startServer(['-c', 'lock_timeout=1000'])
  if (server === undefined) throw new UsageError('no PostgreSQL server to run programs on. On Debian: apt-get install postgresql')
  const options = { clientUrl: server.url, dbName: NAME, entities, ensureDatabase: false, pool: { max: 5 } }
  const first = await MikroORM.init({ ...options, ensureDatabase: true })
  await first.schema.create()
  await first.driver.execute(`create database ${OTHER}`)
  await first.close()
  const witness = new pg.Client(`${server.url}/${NAME}`)
  await witness.connect()
  const reset = ['begin', ...EMPTY, ...SEEDS, 'commit'].join(';')
  return {
    hasManyConnections: true,
    sqlAlchemyUrl: `postgresql+psycopg2://postgres@${new URL(server.url).host}/${OTHER}`,
    async connect () {
      return await MikroORM.init(options)
    },
    async reset () {
      await witness.query(reset)
    },
    async read () {
      const tables = await witness.query(READ.join(';')) as unknown as { rows: unknown[] }[]
      return rowsOf(tables.map(({ rows }) => rows) as unknown as Tables)
    },
    async leftovers (orm) {
      const { totalCount, idleCount } = await orm.driver.getConnection().getNativeClient() as pg.Pool
      const found = totalCount === idleCount ? [] : [`${totalCount - idleCount} connections that are not back in the pool`]
      const { rowCount } = await witness.query("select 1 from pg_stat_activity where datname = $1 and state like 'idle in transaction%'", [NAME])
      if (rowCount !== 0) found.push('an open transaction')
      return found
    },
    async close () {
      await witness.end()
      await server.stop()
    }
  }
}
