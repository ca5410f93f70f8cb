/** Who may see what the inspector knows. */
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import inspector from '../../inspector.ts'
import { rawClient } from '../support/clients.ts'
import { onEachDatabase } from '../support/on-each-database.ts'

const onSqlite = { kinds: ['sqlite' as const] }

const PATHS = [['GET', '/_db/'], ['GET', '/_db/page.js'], ['GET', '/_db/requests.json'], ['GET', '/_db/requests/1.json'], ['GET', '/_db/events'], ['POST', '/_db/requests/1/statements/0/explain']] as const

onEachDatabase('this machine only, by the address of its socket and not by what a proxy says', { ...onSqlite, fastify: { trustProxy: true } }, async (t, { app }) => {
  await app.register(inspector)
  const status = async (remoteAddress: string, headers: Record<string, string> = {}) => (await app.inject({ url: '/_db/requests.json', remoteAddress, headers })).statusCode
  for (const address of ['127.0.0.1', '127.1.2.3', '::1', '::ffff:127.0.0.1']) t.equal(await status(address), 200, address)
  for (const address of ['10.0.0.1', '192.168.0.1', '8.8.8.8', '::2', '::ffff:8.8.8.8', 'fe80::1']) {
    t.equal(await status(address), 403, address)
    for (const header of ['x-forwarded-for', 'x-real-ip']) t.equal(await status(address, { [header]: '127.0.0.1' }), 403, header)
  }
  for (const header of ['x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-forwarded-port', 'x-real-ip', 'cf-connecting-ip', 'true-client-ip', 'via', 'forwarded']) t.equal(await status('127.0.0.1', { [header]: '127.0.0.1' }), 403, `a proxy on this machine: ${header}`)
  for (const [method, url] of PATHS) {
    const reply = await app.inject({ method, url, remoteAddress: '10.0.0.1' })
    t.match([reply.statusCode, reply.json()], [403, { code: 'FST_SCOPED_DB_INSPECTOR_REFUSED' }], url)
    t.match(reply.headers['content-security-policy'], "default-src 'none'")
  }
})

onEachDatabase('by a name of this machine: another one was led here', { ...onSqlite, fastify: { trustProxy: true } }, async (t, { app }) => {
  await app.register(inspector)
  const status = async (host: string) => (await app.inject({ url: '/_db/requests.json', headers: { host } })).statusCode
  for (const host of ['localhost', 'localhost:3000', 'LOCALHOST', 'app.localhost:3000', '127.0.0.1:3000', '127.0.0.2', '[::1]:3000']) t.equal(await status(host), 200, host)
  for (const host of ['evil.example', 'localhost.evil.example', 'evillocalhost', '127.0.0.1.evil.example', 'evil.example:3000', '10.0.0.1', '0.0.0.0', 'a b', '[::2]']) t.equal(await status(host), 403, host)
})

onEachDatabase('by a name at all', onSqlite, async (t, { app, listen }) => {
  await app.register(inspector)
  const { port } = await listen()
  const client = await rawClient(port, ['GET /_db/requests.json HTTP/1.0', '', ''])
  await client.until('it is for names of this machine only')
  t.match(client.received(), ' 403 ')
})

onEachDatabase('not for the pages of other sites', onSqlite, async (t, { app }) => {
  await app.register(inspector)
  const status = async (method: 'GET' | 'POST', headers: Record<string, string>) => (await app.inject({ method, url: method === 'GET' ? '/_db/requests.json' : '/_db/requests/1/statements/0/explain', headers: { host: 'localhost:3000', ...headers } })).statusCode
  for (const site of ['cross-site', 'same-site']) {
    t.equal(await status('GET', { 'sec-fetch-site': site, 'sec-fetch-mode': 'no-cors' }), 403, site)
    t.equal(await status('GET', { 'sec-fetch-site': site, 'sec-fetch-mode': 'navigate' }), 200, 'a link')
    t.equal(await status('POST', { 'sec-fetch-site': site, 'sec-fetch-mode': 'navigate' }), 403, 'a form')
  }
  for (const site of ['same-origin', 'none']) t.equal(await status('POST', { 'sec-fetch-site': site }), 404, site)
  t.equal(await status('POST', {}), 404, 'no browser')
  t.equal(await status('POST', { origin: 'http://localhost:3000' }), 404)
  for (const origin of ['null', 'http://evil.example', 'http://localhost:3001', 'http://localhost']) t.equal(await status('POST', { origin }), 403, origin)
})

onEachDatabase('a function says who may see it, wherever they are', onSqlite, async (t, { app }) => {
  await app.register(inspector, { allow: request => request.headers['x-key'] === 'secret' })
  const status = async (headers: Record<string, string>) => (await app.inject({ url: '/_db/requests.json', remoteAddress: '10.0.0.1', headers: { host: 'app.example', ...headers } })).statusCode
  t.equal(await status({}), 403)
  t.equal(await status({ 'x-key': 'secret' }), 200)
  t.equal(await status({ 'x-key': 'secret', 'sec-fetch-site': 'cross-site' }), 403)
})

/** Until the test is over. */
function inProduction (t: Test): void {
  const { NODE_ENV } = process.env
  process.env['NODE_ENV'] = 'production'
  t.teardown(() => {
    if (NODE_ENV === undefined) delete process.env['NODE_ENV']
    else process.env['NODE_ENV'] = NODE_ENV
  })
}

onEachDatabase('it does not start in production, unless somebody says who may see it', onSqlite, async (t, { app }) => {
  inProduction(t)
  await t.rejects(async () => { await app.register(async app => { await app.register(inspector) }) }, { code: 'FST_SCOPED_DB_INSPECTOR_IN_PRODUCTION' })
})

onEachDatabase('it starts in production with "allow"', onSqlite, async (t, { app }) => {
  inProduction(t)
  await app.register(inspector, { allow: () => false })
  t.equal((await app.inject('/_db/')).statusCode, 403)
})

void t.test('wrong options are refused', async t => {
  for (const options of [{ prefix: 'db' }, { prefix: 1 }, { allow: async () => true }, { allow: true }, { requests: 0 }, { bytes: 1.5 }, { slowerThan: 0 }, { other: 1 }]) {
    await t.rejects(async () => { await Fastify().register(inspector, options as never) }, { code: /^FST_SCOPED_DB_(INVALID|UNKNOWN)_OPTION$/ }, Object.keys(options).join())
  }
})

void t.test('it has a database to show', async t => {
  const app = Fastify()
  await t.rejects(async () => { await app.register(inspector) }, { code: 'FST_SCOPED_DB_NOT_REGISTERED' })
})
