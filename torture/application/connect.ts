import type { EventSubscriber } from '@mikro-orm/core'
import { MikroORM as MySqlORM } from '@mikro-orm/mysql'
import { MikroORM as PostgreSqlORM } from '@mikro-orm/postgresql'
import { MikroORM as SqliteORM } from '@mikro-orm/sqlite'
import type { SqlORM } from '../../test/support/databases.ts'
import { CounterSchema, EntrySchema } from './entities.ts'
import type { ApplicationSettings, FromApplication } from './messages.ts'

/** A MikroORM of the application, on one of its databases. Opens no connection yet. */
export async function connect ({ database, url, connections }: ApplicationSettings, dbName: string, tell: (message: FromApplication) => void): Promise<SqlORM> {
  const options = { dbName, contextName: dbName, entities: [EntrySchema, CounterSchema], subscribers: [commitTeller(tell)] }
  if (database === 'sqlite') return await SqliteORM.init(options)
  const onServer = { ...options, clientUrl: url as string, pool: { max: connections } }
  return database === 'mysql' ? await MySqlORM.init(onServer) : await PostgreSqlORM.init(onServer)
}

/** Tells when the COMMIT of a request is about to be sent, for the client that leaves just then. */
function commitTeller (tell: (message: FromApplication) => void): EventSubscriber {
  return {
    beforeTransactionCommit ({ em }) {
      const { token, tells } = em.getLoggerContext()
      if (tells === 'commit') tell({ type: 'stage', token: String(token), stage: 'commit' })
    }
  }
}
