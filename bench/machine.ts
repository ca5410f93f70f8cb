import { cpus, release, totalmem } from 'node:os'
import { readFile } from 'node:fs/promises'
import { askServer, available, DATABASES, type Database } from './database.ts'

const PACKAGES = ['fastify', '@mikro-orm/core', 'kysely', 'mysql2', 'pg', 'autocannon']

/** What the figures depend on. */
export async function describeMachine (): Promise<Record<string, string>> {
  const [cpu] = cpus()
  const servers = available(['mariadb', 'postgresql']).map(async database => [DATABASES[database.kind], await versionOfServer(database)] as const)
  const versions = PACKAGES.map(async name => [name, await versionOf(name)] as const)
  return {
    processor: `${cpu?.model ?? 'unknown'}, ${cpus().length} cores`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    system: `Linux ${release()}`,
    Node: process.versions.node,
    ...Object.fromEntries(await Promise.all([...servers, ...versions])),
    measured: new Date().toISOString().slice(0, 10)
  }
}

async function versionOfServer (database: Database): Promise<string> {
  const { rows: [row] } = await askServer<{ version: string }>(database, 'select version() as version')
  return /\d[\w.]*/.exec(row?.version ?? '')?.[0] ?? 'unknown'
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
