/** The application's own code and its error handlers get the errors themselves; clients get nothing of them. */
import { CheckConstraintViolationException, DriverException, ForeignKeyConstraintViolationException, InvalidFieldNameException, NotNullConstraintViolationException, SyntaxErrorException, TableNotFoundException, UniqueConstraintViolationException } from '@mikro-orm/core'
import Fastify from 'fastify'
import scopedDb from '../../plugin.ts'
import { servers, type Kind } from '../support/databases.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { freePort } from '../support/server.ts'
import { mysqlUrl, postgresqlUrl } from '../support/server-urls.ts'
import { onEachDatabase } from '../support/on-each-database.ts'

const automatic = { plugin: { commitOnTeardown: true } }

const STATEMENTS = {
  "insert into item (label, amount) values ('secret', 1)": UniqueConstraintViolationException,
  "insert into part (item_id, name) values (4711, 'secret')": ForeignKeyConstraintViolationException,
  'insert into item (label, amount) values (null, 1)': NotNullConstraintViolationException,
  'insert into checked values (-1)': CheckConstraintViolationException,
  "selekt 'secret'": SyntaxErrorException,
  'select 1 from secret_table': TableNotFoundException,
  'select secret_column from item': InvalidFieldNameException
}

/** What the databases say of these. */
const ITS_WORDS = /secret|item|part|checked|amount|label|selekt|foreign key/i

onEachDatabase('a handler that catches the error of a statement', automatic, async (t, { app, database }) => {
  await database.witness.driver.execute('create table checked (amount int, check (amount > 0))')
  await database.witness.driver.execute("insert into item (label, amount) values ('secret', 1)")
  for (const [sql, Class] of Object.entries(STATEMENTS)) {
    app.post(`/${Class.name}`, async request => {
      try {
        return await request.db.execute(sql)
      } catch (error) {
        t.ok(error instanceof Class, `${Class.name}: ${(error as Error).name}`)
        t.match((error as Error).message, ITS_WORDS, 'with its own words')
        throw error
      }
    })
  }
  for (const Class of Object.values(STATEMENTS)) {
    const response = await app.inject({ method: 'POST', url: `/${Class.name}` })
    t.equal(response.statusCode, 500)
    t.match(response.json(), { message: 'A database error occurred' })
    t.notMatch(response.body, ITS_WORDS)
  }
})

/** The address of the server, as far as there is one. */
const serverUrl = (kind: Kind) => String(kind === 'mysql' ? mysqlUrl() : postgresqlUrl())

/** What is wrong with the server's address, and what the error is then. */
const ADDRESSES: Record<string, { url: (kind: Kind) => Promise<string>, words: RegExp }> = {
  'nobody listens': {
    url: async kind => `${new URL(serverUrl(kind)).protocol}//secret@127.0.0.1:${await freePort()}`, words: /ECONNREFUSED/
  },
  'the login fails': {
    url: async kind => serverUrl(kind).replace(/\w+@/, 'secret:secret@'), words: /denied for user 'secret'|role "secret" does not exist|authentication failed for user "secret"/
  },
  'the database is not there': {
    url: async kind => `${serverUrl(kind)}/secret`, words: /Unknown database 'secret'|database "secret" does not exist/
  }
}

for (const [what, { url, words }] of Object.entries(ADDRESSES)) {
  for (const passesOn of [false, true]) {
    onEachDatabase(`a server that cannot be reached: ${what}; error handler: ${passesOn}`, { kinds: servers }, async (t, { kind, database }) => {
      const orm = await database.connect({ clientUrl: await url(kind), dbName: 'secret', ensureDatabase: false })
      const app = Fastify()
      await app.register(scopedDb, { orm, commitOnTeardown: true, name: 'unreachable' })
      const seen: unknown[] = []
      app.addHook('onError', async (_request, _reply, error) => { seen.push(error) })
      if (passesOn) app.setErrorHandler((error, _request, reply) => { seen.push(error); return reply.send(error) })
      app.get('/', async request => await request.db.count(Item))
      app.post('/', async request => request.db.create(Item, { label: 'secret' }))
      for (const method of ['GET', 'POST'] as const) {
        const response = await app.inject({ method, url: '/' })
        t.equal(response.statusCode, 500)
        t.match(response.json(), { message: 'A database error occurred' })
        t.notMatch(response.body + JSON.stringify(response.headers), /secret|127\.0\.0\.1|localhost/)
      }
      for (const error of seen) {
        t.ok(error instanceof DriverException, (error as Error).name)
        t.match((error as Error).message, words)
      }
      t.equal(seen.length, passesOn ? 4 : 2)
      await app.close()
      await orm.close()
    })
  }
}
