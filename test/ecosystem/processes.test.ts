/** Applications in processes that others start: fastify-cli, node:cluster. */
import helper from 'fastify-cli/helper.js'
import type { FastifyInstance } from 'fastify'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { isolate } from '../../testing.ts'
import { childEnvironment } from '../support/child-environment.ts'
import { onEachDatabase, type Stage } from '../support/on-each-database.ts'

const APP = join(import.meta.dirname, 'apps/items.ts')
/** What starts processes needs a database that they can share. */
const onSqlite = { kinds: ['sqlite' as const] }

const fileOf = ({ database }: Stage) => String(database.options.dbName)

/** A process of Node, and what it says. */
function start (stage: Stage, ...args: string[]) {
  const child = spawn(process.execPath, args, { env: { ...childEnvironment, DATABASE: fileOf(stage) }, stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => { said += text })
  return {
    async until (pattern: RegExp): Promise<string> {
      while (!pattern.test(said)) {
        if (child.exitCode !== null) throw new Error(`It has ended: ${said}`)
        await Promise.race([once(child.stdout, 'data'), once(child, 'exit')])
      }
      return pattern.exec(said)?.[1] ?? ''
    },
    async end (): Promise<unknown> {
      const exited = once(child, 'exit')
      child.kill('SIGTERM')
      return (await exited)[0]
    }
  }
}

const post = async (origin: string, body: object) => await fetch(`${origin}/items`, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json', connection: 'close' } })

onEachDatabase('fastify-cli: fastify start, and SIGTERM while a request is worked on', onSqlite, async (t, stage) => {
  const cli = join(import.meta.dirname, 'node_modules/fastify-cli/cli.js')
  const server = start(stage, cli, 'start', '--port', '0', '--address', '127.0.0.1', '--log-level', 'info', APP)
  const origin = await server.until(/Server listening at (http:\/\/[\d.:]+)/)
  t.equal((await post(origin, { label: 'one' })).status, 201)
  t.equal((await post(origin, { label: 'refused', status: 409 })).status, 409)
  const inFlight = post(origin, { label: 'in flight', wait: 300 })
  await server.until(/incoming request[^]*incoming request[^]*(incoming) request/)
  t.equal(await server.end(), 0)
  t.equal((await inFlight).status, 201)
  t.same(await stage.labels(), ['in flight', 'one'])
})

onEachDatabase('fastify-cli: what its test helper builds, isolated', onSqlite, async (t, stage) => {
  process.env['DATABASE'] = fileOf(stage)
  const app = await helper.build([APP], { skipOverride: true }) as unknown as FastifyInstance
  const isolation = await isolate(app)
  t.equal((await app.inject({ method: 'POST', url: '/items', payload: { label: 'isolated' } })).statusCode, 201)
  await isolation.release()
  t.same(await stage.labels(), [])
  t.equal((await app.inject({ method: 'POST', url: '/items', payload: { label: 'one' } })).statusCode, 201)
  t.equal((await app.inject({ method: 'POST', url: '/items', payload: { label: 'one' } })).statusCode, 500)
  t.equal(app.db.openScopes, 0)
  await app.close()
  t.same(await stage.labels(), ['one'])
})

onEachDatabase('node:cluster: a worker that is killed takes nothing with it but what it had not committed', onSqlite, async (t, stage) => {
  const { labels } = stage
  const primary = start(stage, join(import.meta.dirname, 'apps/cluster.ts'))
  const origin = await primary.until(/worker \d listens at ([^]*?)\.\n[^]*listens/)
  const workers = new Set<unknown>()
  for (let n = 0; n < 4; n++) workers.add((await (await post(origin, { label: `item ${n}` })).json() as { worker: unknown }).worker)
  t.equal(workers.size, 2)
  await t.rejects(post(origin, { label: 'killed' }))
  await primary.until(/has ended: (SIGKILL)/)
  t.equal((await post(origin, { label: 'afterwards' })).status, 201)
  t.equal((await post(origin, { label: 'refused', status: 500 })).status, 500)
  t.same(await labels(), ['afterwards', 'item 0', 'item 1', 'item 2', 'item 3'])
  t.equal(await primary.end(), 0)
})
