import type { Options } from '@mikro-orm/core'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import scopedDb, { type ScopedDbOptions } from '../../plugin.ts'
import type { SqlORM, TestDatabase } from './databases.ts'
import { startProxy, type Proxy } from './proxy.ts'

/** An application whose connections to the server a test can cut. */
export interface Proxied {
  readonly app: FastifyInstance
  readonly orm: SqlORM
  readonly proxy: Proxy
}

export async function proxied (t: Test, database: TestDatabase, options: Omit<ScopedDbOptions, 'orm'> = {}, ormOptions: Partial<Options> = {}): Promise<Proxied> {
  const proxy = await startProxy(String(database.options.clientUrl))
  const orm = await database.connect({ clientUrl: proxy.url, ...ormOptions })
  const app = Fastify()
  await app.register(scopedDb, { orm, name: 'proxied', ...options })
  t.teardown(async () => {
    await app.close()
    // First: what leads nowhere cannot be closed in good order.
    await proxy.stop()
    await orm.close()
  })
  return { app, orm, proxy }
}
