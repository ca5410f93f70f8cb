import { MikroORM } from '@mikro-orm/sqlite'
import fc from 'fast-check'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import scopedDb, { db } from '../../plugin.ts'
import { ItemSchema as Item, PartSchema as Part } from '../support/entities.ts'
import { FORK, noOptions, OPEN, optionsOf, PLUGIN, RESERVED, ROUTE, RUN, some, unknown, wrong, type Options } from '../support/option-oracle.ts'
import { anyValue, HOSTILE } from '../support/wrong-values.ts'

const orm = await MikroORM.init({ entities: [Item, Part], dbName: ':memory:' })
await orm.schema.create()
t.teardown(async () => await orm.close())

const INVALID = 'FST_SCOPED_DB_INVALID_OPTION'
const UNKNOWN = 'FST_SCOPED_DB_UNKNOWN_OPTION'

/** An option is named with what it takes, in few words; a name that is too long, up to a point. */
function assertNames (error: unknown, name: string, code?: string): void {
  const { code: actual = '', message } = error as { code?: string, message: string }
  const isNamed = message.includes(name) && /takes .*, got |there is no option .*, only \w+/.test(message)
  const isRight = isNamed && message.length < 1_000 && (code === undefined ? [INVALID, UNKNOWN].includes(actual) : code === actual)
  if (!isRight) throw new Error(`no clear refusal of ${name}: ${actual} ${message.slice(0, 2_000)}`, { cause: error })
}

const quoted = (name: string | symbol) => `"${JSON.stringify(String(name)).slice(1, 60).replace(/\\?"$/, '')}`

async function caught (run: () => unknown): Promise<unknown> {
  try {
    await run()
  } catch (error) {
    return error
  }
  throw new Error('not refused')
}

/** Adds a property even where assignment would not, as for `__proto__`. */
const withOne = (options: Options, name: string | symbol, value: unknown): Options =>
  Object.defineProperty({ ...options }, name, { value, enumerable: true })

/** A getter that throws, or a property that `Object.entries()` does not see. */
const withHidden = (options: Options, name: string, isGetter: boolean): Options =>
  Object.defineProperty({ ...options, [name]: undefined }, name, isGetter ? { get: () => { throw new Error('a getter') } } : { value: 'hidden', enumerable: false })

/** Registers in vain: the application can be closed, and leaves no database. */
async function refusal (options: unknown): Promise<unknown> {
  const app = Fastify()
  app.register(scopedDb, options as object)
  const error = await caught(() => app.ready())
  await app.close()
  const left = await caught(() => db.openScopes)
  if ((left as { code?: string }).code !== 'FST_SCOPED_DB_NOT_REGISTERED') throw new Error('a database is left registered', { cause: left })
  return error
}

/** An application whose routes have a transaction, unless they say otherwise. */
async function withApp (use: (app: FastifyInstance) => Promise<void>): Promise<void> {
  const app = Fastify()
  await app.register(scopedDb, { orm, commitOnTeardown: true })
  try {
    await use(app)
  } finally {
    await app.close()
  }
}

let routes = 0
const handler = async () => String(await db.session.count(Item))

/** Adds a route, in a context of its own or not, and gives what was thrown. */
async function routeRefusal (app: FastifyInstance, options: unknown, isNested: boolean): Promise<unknown> {
  const add = (context: FastifyInstance) => caught(() => context.get(`/${routes++}`, { config: { db: options as object } }, handler))
  if (!isNested) return await add(app)
  const { promise, resolve } = Promise.withResolvers<unknown>()
  await app.register(async context => resolve(await add(context)), { prefix: '/nested' })
  return await promise
}

const speaksOfTransaction = ({ begin = 'auto', isolationLevel, retry }: Options) => begin !== 'auto' || isolationLevel !== undefined || retry !== undefined

function isIdle ({ use, ...all }: Options): boolean {
  const { default: one = {} } = (use ?? {}) as { default?: Options }
  return (one['commitOnTeardown'] ?? all['commitOnTeardown'] ?? true) === false && [all, one].some(speaksOfTransaction)
}

async function holds<T> (times: number, arbitrary: fc.Arbitrary<T>, property: (value: T) => Promise<void>): Promise<void> {
  await fc.assert(fc.asyncProperty(arbitrary, property), { numRuns: times })
}

void t.test('the options are those of lib/options/', async t => {
  t.same(Object.keys(ROUTE).sort(), optionsOf('RouteOptions'))
  t.same([...Object.keys(PLUGIN), 'orm'].sort(), optionsOf('ScopedDbOptions'))
})

void t.test('register() refuses what is wrong', async t => {
  await holds(200, fc.tuple(some(PLUGIN), wrong(PLUGIN)), async ([options, [option, { value }]]) => assertNames(await refusal(withOne({ orm, ...options }, option, value)), `"${option}`))
  await holds(100, fc.tuple(some(PLUGIN), unknown(PLUGIN), anyValue), async ([options, name, { value }]) => assertNames(await refusal(withOne({ orm, ...options }, name, value)), quoted(name), UNKNOWN))
  await holds(50, fc.tuple(some(PLUGIN), fc.constantFrom(...Object.keys(PLUGIN)), fc.boolean()), async ([options, option, isGetter]) =>
    assertNames(await refusal(withHidden({ orm, ...options }, option, isGetter || option === 'name')), `"${option}"`, INVALID))
  for (const orm of HOSTILE) assertNames(await refusal({ orm }), '"orm"', INVALID)
  await holds(50, anyValue.filter(({ value }) => value !== undefined), async ({ value: orm }) => assertNames(await refusal({ orm }), '"orm"', INVALID))
  await holds(50, noOptions.filter(({ value }) => value !== undefined && value !== null), async ({ value: given }) => assertNames(await refusal(() => given), 'register()', INVALID))
  t.pass()
})

void t.test('register() takes what is right, and serves', async t => {
  await holds(40, some(PLUGIN), async options => {
    const app = Fastify()
    await app.register(scopedDb, { ...options, orm })
    app.get('/', handler)
    const { statusCode, body } = await app.inject('/')
    await app.close()
    if (statusCode !== 200 || body !== '0') throw new Error(`${statusCode}: ${body}`)
  })
  t.pass()
})

void t.test('config.db of a route', async t => {
  await withApp(async app => {
    await holds(300, fc.tuple(some(ROUTE), wrong(ROUTE), fc.boolean()), async ([options, [option, { value }], isNested]) =>
      assertNames(await routeRefusal(app, withOne(options, option, value), isNested), `"${option}`))
    await holds(200, fc.tuple(some(ROUTE), unknown(ROUTE), anyValue), async ([options, name, { value }]) =>
      assertNames(await routeRefusal(app, withOne(options, name, value), false), quoted(name), UNKNOWN))
    await holds(100, noOptions.filter(({ value }) => value !== undefined && value !== false), async ({ value: given }) =>
      assertNames(await routeRefusal(app, given, false), 'config.db of GET /', INVALID))
  })
  await withApp(async app => {
    const given = fc.sample(some(ROUTE), 100)
    for (const [n, options] of given.entries()) {
      const add = () => app.get(`/${n}`, { config: { db: options } }, handler)
      if (isIdle(options)) assertNames(await caught(add), '"', INVALID)
      else add()
    }
    for (const [n, options] of given.entries()) {
      if (!isIdle(options)) t.match(await app.inject(`/${n}`), { statusCode: 200, body: '0' })
    }
  })
})

void t.test('routes that were added before the plugin answer 500 to every request', async t => {
  const app = Fastify()
  const given = fc.sample(fc.tuple(some(ROUTE), wrong(ROUTE)), 60)
  for (const [n, [options, [option, { value }]]] of given.entries()) app.get(`/${n}/:id`, { config: { db: withOne(options, option, value) } }, async () => 'served')
  await app.register(scopedDb, { orm, commitOnTeardown: true })
  for (const [n, [, [option]]] of given.entries()) {
    for (const url of [`/${n}/secret`, `/${n}/2`]) {
      const response = await app.inject(url)
      t.equal(response.statusCode, 500)
      assertNames(response.json(), `"${option}`)
      t.match(response.json().message, `GET /${n}/:id`)
    }
  }
  await app.close()
})

for (const [name, oracles] of [['db.run()', RUN], ['db.open()', OPEN]] as const) {
  void t.test(name, async t => {
    await withApp(async app => {
      /** Uses a scope with these options. */
      const use = async (options: unknown) => {
        if (name === 'db.run()') return await app.db.run(session => session.count(Item), options as object)
        await using scope = app.db.open(options as object)
        return await scope.session.count(Item)
      }
      const refused = async (options: unknown, expected: string, code?: string) => assertNames(await caught(() => use(options)), expected, code)
      await holds(200, fc.tuple(some(oracles), wrong(oracles)), async ([options, [option, { value }]]) => await refused(withOne(options, option, value), `"${option}`))
      await holds(100, fc.tuple(some(oracles), unknown(oracles)), async ([options, name]) => await refused(withOne(options, name, true), quoted(name), UNKNOWN))
      await holds(50, noOptions.filter(({ value }) => value !== undefined), async ({ value: given }) => await refused(given, name, INVALID))
      await holds(100, some(oracles), async options => {
        if (isIdle(options)) await refused(options, '"', INVALID)
        else if (await use(options) !== 0) throw new Error('not counted')
      })
      t.equal(app.db.openScopes, 0)
    })
  })
}

void t.test('fork options, and what functions answer', async t => {
  const wrongFork = fc.oneof(
    wrong(FORK).map(more => ({ more, name: `"sessionOptions.${more[0]}"` })),
    unknown(FORK).filter(name => !RESERVED.includes(String(name))).map(name => ({ more: [name, { value: 1 }] as const, name: quoted(`sessionOptions.${String(name)}`) })),
    fc.constantFrom(...RESERVED).map(option => ({ more: [option, { value: true }] as const, name: '"sessionOptions"' }))
  )
  await holds(50, fc.tuple(some(FORK), wrongFork), async ([fork, { more: [option, { value }], name }]) =>
    assertNames(await refusal({ orm, sessionOptions: withOne(fork, option, value) }), name))
  let answer: unknown
  await withApp(async app => {
    app.get('/session', { config: { db: { sessionOptions: () => answer as object } } }, handler)
    app.get('/outcome', { config: { db: { commitOnTeardown: () => answer as boolean } } }, handler)
    const assertAnswers = async (url: string, name: string) => {
      const response = await app.inject(url)
      assertNames(response.json(), name)
      t.equal(response.statusCode, 500)
    }
    await holds(100, fc.tuple(some(FORK), wrongFork), async ([fork, { more: [option, { value }], name }]) => {
      answer = withOne(fork, option, value)
      await assertAnswers('/session', name)
    })
    for (answer of [undefined, ...HOSTILE]) {
      await assertAnswers('/session', '"sessionOptions')
      await assertAnswers('/outcome', 'commitOnTeardown"')
    }
    t.equal(app.db.openScopes, 0)
  })
})
