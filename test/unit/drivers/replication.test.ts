import t from 'tap'
import { MYSQL_REPLICATION } from '../../../lib/drivers/mysql-replication.ts'
import { postgresqlReplication } from '../../../lib/drivers/postgresql-replication.ts'

const POSTGRESQL = postgresqlReplication(() => undefined)

void t.test('positions of MariaDB count by domain', async t => {
  const { hasApplied } = MYSQL_REPLICATION
  for (const [applied, wanted, has] of [
    ['0-1-5', '0-1-5', true],
    ['0-1-5', '0-1-4', true],
    ['0-1-5', '0-1-6', false],
    ['0-1-10', '0-1-9', true],
    // Another server has taken over.
    ['0-2-7', '0-1-6', true],
    ['0-1-5, 1-1-9', '1-1-9', true],
    ['0-1-5,1-1-9', '0-1-6', false],
    ['0-1-5', '1-1-1', false],
    ['', '0-1-1', false]
  ] as const) t.equal(hasApplied(applied, wanted), has, `${applied} has ${wanted}`)
})

void t.test('positions of PostgreSQL are numbers in two halves', async t => {
  for (const [applied, wanted, has] of [
    ['0/3000060', '0/3000060', true],
    ['0/3000060', '0/3000061', false],
    ['0/A000060', '0/9000061', true],
    ['1/60', '0/FFFFFFFF', true],
    ['0/FFFFFFFF', '1/60', false],
    // The next record begins behind the header of its page, or of its segment.
    ['0/3002000', '0/3002018', true],
    ['0/3000000', '0/3000028', true],
    ['0/3001FF8', '0/3002018', false],
    ['0/3002000', '0/3002040', false]
  ] as const) t.equal(POSTGRESQL.hasApplied(applied, wanted), has, `${applied} has ${wanted}`)
})

void t.test('what positions look like', async t => {
  for (const text of ['0-1-5', '4294967295-1-18446744073709551615']) t.ok(MYSQL_REPLICATION.shape.test(text), text)
  for (const text of ['', '0-1', '0-1-5,1-1-2', '0-1-x', '16/B374D848']) t.notOk(MYSQL_REPLICATION.shape.test(text), text)
  for (const text of ['16/B374D848', '0/0']) t.ok(POSTGRESQL.shape.test(text), text)
  for (const text of ['', '/', '0-1-5', '16/B374D848/1', '0/G']) t.notOk(POSTGRESQL.shape.test(text), text)
})

void t.test('how far a replica lags', async t => {
  for (const [row, lag] of [
    [{ Seconds_Behind_Master: 0 }, 0],
    [{ Seconds_Behind_Master: '3' }, 3_000],
    [{ Seconds_Behind_Source: 2 }, 2_000],
    [{ Seconds_Behind_Master: null }, undefined],
    [undefined, undefined]
  ] as const) t.equal(MYSQL_REPLICATION.lagIn(row), lag)
  for (const [row, lag] of [[{ lag: 0 }, 0], [{ lag: '12.5' }, 12.5], [{ lag: null }, undefined], [undefined, undefined]] as const) t.equal(POSTGRESQL.lagIn(row), lag)
})

void t.test('an answer without a position', async t => {
  t.equal(POSTGRESQL.listen({} as never).positionIn({ rows: [] }), undefined)
  const { positionIn } = MYSQL_REPLICATION.listen({} as never)
  t.equal(positionIn({ rows: [] }), undefined)
  t.equal(positionIn({ rows: [[{ position: null }]] }), undefined)
  t.equal(positionIn({ rows: [[{ position: '' }], {}] }), '')
})
