import { MySqlDriver } from '@mikro-orm/mysql'
import { Article, Order } from './entities.ts'

/** Options of MikroORM: one address for all nodes. */
export function database (clientUrl: string | undefined, connections: number) {
  return { driver: MySqlDriver, clientUrl: String(clientUrl), dbName: 'shop', entities: [Article, Order], pool: { max: connections } }
}
