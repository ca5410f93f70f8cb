import { cpus, release, totalmem } from 'node:os'
import { readFile } from 'node:fs/promises'
import { createConnection } from 'mysql2/promise'

/** What the figures depend on. */
export async function describeMachine (url: string | undefined): Promise<Record<string, string>> {
  const [cpu] = cpus()
  const versions = Object.fromEntries(await Promise.all(['fastify', '@mikro-orm/core', 'kysely', 'mysql2', '@nestjs/core', 'autocannon'].map(async name => [name, await versionOf(name)] as const)))
  return {
    processor: `${cpu?.model ?? 'unknown'}, ${cpus().length} cores`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    system: `Linux ${release()}`,
    node: process.versions.node,
    database: url === undefined ? 'SQLite only' : await serverVersion(url),
    ...versions,
    measured: new Date().toISOString().slice(0, 10)
  }
}

async function serverVersion (url: string): Promise<string> {
  const connection = await createConnection(url)
  const [rows] = await connection.query('select version() as version')
  await connection.end()
  return (rows as { version: string }[])[0]?.version ?? 'unknown'
}

async function versionOf (name: string): Promise<string> {
  for (const folder of ['node_modules', '../node_modules']) {
    try {
      return (JSON.parse(await readFile(new URL(`${folder}/${name}/package.json`, import.meta.url), 'utf8')) as { version: string }).version
    } catch {
      // It is in the other one.
    }
  }
  return 'unknown'
}
