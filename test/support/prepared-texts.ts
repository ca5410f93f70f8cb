import type { MikroORM } from '@mikro-orm/core'
import type { SqlORM } from './databases.ts'

/** The texts that come to SQLite from now on, as its driver is given them. */
export async function preparedTexts (orm: MikroORM): Promise<string[]> {
  const texts: string[] = []
  const native = await (orm as SqlORM).driver.getConnection().getNativeClient() as { prepare (sql: string): unknown }
  const { prepare } = native
  native.prepare = sql => {
    texts.push(sql)
    return prepare.call(native, sql)
  }
  return texts
}
