/** What goes wrong under BEGIN and the first statement in one message: nothing is committed but by COMMIT. */
import type { DatabaseConnection } from 'kysely'
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { Combined, DriverError } from '../../lib/drivers/contracts.ts'
import { hasBegun, openSide, raw, type Side, type SideOptions } from '../support/begin-with.ts'
import { availableKinds, servers, type Kind } from '../support/databases.ts'
import { dialectOf, type Dialect } from '../support/dialect.ts'
import { isMeant } from '../support/drivers.ts'
import { startProxy } from '../support/proxy.ts'
import { mysqlUrl, postgresqlUrl } from '../support/server-urls.ts'

const SET_UP = ['create table thing (id int primary key, name varchar(60000))', "insert into thing values (1, 'one'), (2, 'two')"]
const INSERT = "insert into thing (id, name) values (3, 'three')"

interface Failing {
  readonly side: Side
  readonly dialect: Dialect
  /** Sends BEGIN and a statement together. Gives what comes of it. */
  send (connection: DatabaseConnection, sql: string): Promise<{ combined: Combined, error?: DriverError }>
}

/** Only where the two are sent together: MySQL has no compound statements. */
function onEachServer (name: string, test: (t: Test, failing: Failing) => Promise<void>, optionsOf: (t: Test, kind: Kind) => Promise<SideOptions['options']> = async () => undefined, kinds = servers): void {
  for (const kind of kinds.filter(kind => availableKinds().includes(kind) && isMeant(kind, servers))) {
    void t.test(`${name} [${kind}]`, { timeout: 60_000 }, async t => {
      const side = await openSide(t, kind, { setUp: SET_UP, generated: { thing: null }, options: await optionsOf(t, kind) })
      if (kind === 'mysql' && side.version?.includes('MariaDB') !== true) return
      const before = await side.committed()
      const send: Failing['send'] = async (connection, sql) => {
        const combined = side.beginWith(connection, sql)
        assert(combined, sql)
        return await connection.executeQuery(combined.query).then(() => ({ combined }), (error: DriverError) => ({ combined, error }))
      }
      await test(t, { side, dialect: dialectOf(kind), send })
      t.same(await side.committed(), before, 'nothing is committed')
    })
  }
}

async function idOf (connection: DatabaseConnection, { driver }: Side): Promise<number> {
  const { rows: [own] } = await connection.executeQuery<{ id: number }>(raw(String(driver.processes?.ownId)))
  return Number(own?.id)
}

onEachServer('a statement is killed while it runs, and its transaction can only be rolled back', async (t, { side, dialect, send }) => {
  for (const statement of [`update thing set name = concat('x', ${dialect.sleep(5)})`, `insert into thing (id, name) values (3, concat('x', ${dialect.sleep(5)}))`, `select ${dialect.sleep(5)} from thing for update`]) {
    await side.use(async connection => {
      const id = await idOf(connection, side)
      const sending = send(connection, statement)
      await running(side, dialect)
      await side.database.witness.driver.execute(dialect.cancel(id))
      const { combined, error } = await sending
      t.ok(error, statement)
      t.equal(side.driver.errors.kindOf(error as DriverError), 'interrupted')
      t.ok(await hasBegun(side.driver, connection, combined), 'the transaction is there')
      t.match(await side.committed(), [[{ name: 'one' }, { name: 'two' }]])
      await connection.executeQuery(raw('rollback'))
    })
  }
})

/** Resolves when the server works on the statement. */
async function running ({ database }: Side, dialect: Dialect): Promise<void> {
  while ((await database.witness.driver.execute<unknown[]>(dialect.running, ['%sleep(5)%'])).length === 0) await sleep(5)
}

onEachServer('a connection is killed while its statement runs', async (t, { side, dialect, send }) => {
  await side.use(async connection => {
    const id = await idOf(connection, side)
    const sending = send(connection, `insert into thing (id, name) values (3, concat('x', ${dialect.sleep(5)}))`)
    await running(side, dialect)
    await side.database.witness.driver.execute(dialect.kill(id))
    const { error } = await sending
    t.equal(error && side.driver.errors.kindOf(error), 'connection')
  })
})

onEachServer('kills come at any moment', async (t, { side, dialect, send }) => {
  const { database: { witness }, driver } = side
  const insert = `insert into thing (id, name) values (3, concat('x', ${dialect.sleep(0.002)}))`
  let errors = 0
  for (let round = 0; round < 60; round++) {
    await side.use(async connection => {
      const id = await idOf(connection, side)
      const isForGood = round % 10 === 0
      let killed = false
      const killing = sleep(round % 7).then(() => witness.driver.execute((isForGood ? dialect.kill : dialect.cancel)(id))).then(() => { killed = true })
      for (let isLost = false; !(isForGood ? isLost : killed);) {
        const { error } = await send(connection, insert)
        if (error !== undefined) errors++
        isLost = error !== undefined && driver.errors.kindOf(error) === 'connection'
        // Whatever was killed, what was carried out is in a transaction.
        assert.deepEqual(await side.committed(), [[{ id: 1, name: 'one' }, { id: 2, name: 'two' }]])
        const rollback = () => connection.executeQuery(raw('rollback'))
        // It can be killed as well.
        await rollback().catch(rollback).catch(() => undefined)
      }
      await killing
    })
  }
  t.ok(errors >= 6, `${errors} statements were killed`)
})

for (const reaction of ['cut before', 'cut after'] as const) {
  const proxies = new WeakMap<Test, Awaited<ReturnType<typeof startProxy>>>()
  onEachServer(`the connection is ${reaction} the statement`, async (t, { side, send }) => {
    const proxy = proxies.get(t)
    assert(proxy)
    proxy.react = sql => sql.includes("'three'") ? reaction : undefined
    await side.use(async connection => {
      const { error } = await send(connection, INSERT)
      t.equal(error && side.driver.errors.kindOf(error), 'connection')
    })
  }, async (t, kind) => {
    const proxy = await startProxy(String(kind === 'mysql' ? mysqlUrl() : postgresqlUrl()))
    t.teardown(() => proxy.stop())
    proxies.set(t, proxy)
    return { clientUrl: proxy.url }
  })
}

onEachServer('a long statement goes alone, one below it together', async (t, { side, send }) => {
  await side.use(async connection => {
    const insert = (length: number) => INSERT.replace('three', 'x'.repeat(length))
    t.equal(side.beginWith(connection, insert(66_000)), undefined)
    t.notMatch(await send(connection, insert(59_000)), { error: {} })
    await connection.executeQuery(raw('rollback'))
  })
})

onEachServer('a COMMIT commits, and a transaction that has failed is rolled back', async (t, { side, send }) => {
  const { witness } = side.database
  await side.use(async connection => {
    t.notMatch(await send(connection, INSERT), { error: {} })
    t.equal((await side.committed() as unknown[][]).flat().length, 2)
    await connection.executeQuery(raw('commit'))
    t.equal((await side.committed() as unknown[][]).flat().length, 3)
    const { combined, error } = await send(connection, INSERT)
    t.equal(error && side.driver.errors.kindOf(error), 'unique')
    t.ok(await hasBegun(side.driver, connection, combined))
    await connection.executeQuery(raw('rollback'))
    // It is in none any more: what comes next is committed by itself, as ever.
    await connection.executeQuery(raw('delete from thing where id = 3'))
  })
  t.same(await witness.driver.execute('select id from thing order by id'), [{ id: 1 }, { id: 2 }])
})

onEachServer('a statement that takes longer than pg waits', async (t, { side, dialect, send }) => {
  await side.use(async connection => {
    const { error } = await send(connection, `insert into thing (id, name) values (3, concat('x', ${dialect.sleep(2)}))`)
    t.match(error, { message: 'Query read timeout' })
    await side.driver.physical(connection)?.close()
  })
}, async () => ({ driverOptions: { query_timeout: 300 } }), ['postgresql'])
