/** Brings about each symptom in docs/errors.md for the reason that it gives. */
import { MikroORM } from '@mikro-orm/sqlite'
import Fastify from 'fastify'
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import scopedDb, { db } from '../../plugin.ts'
import { typeErrors } from '../support/doc-modules.ts'
import { ItemSchema as Item } from '../support/entities.ts'
import { ROOT, tableUnder } from '../support/fences.ts'

const options = { dbName: ':memory:', entities: [Item] }

/** What the compiler says of these lines in a folder of their own. */
function compilerSays (folder: string, code: string): string {
  return typeErrors([{ place: 'symptom', language: 'ts', name: 'symptom', setup: 'none', file: undefined, needs: undefined, info: '', code: `${code}\nconst [app, orm] = []\n` }], folder).join('\n')
}

async function messageOf (work: () => unknown): Promise<string> {
  try {
    await work()
  } catch (error) {
    return (error as Error).message
  }
  return 'no error'
}

/** Each gives what is seen. */
const causes: Record<string, (t: Test, orm: MikroORM) => Promise<string> | string> = {
  async 'Cannot read properties of undefined (reading \'find\')' () {
    const app = Fastify()
    app.get('/', async request => await request.db.find(Item, {}))
    return (await app.inject('/')).json().message
  },
  async 'Using global EntityManager instance methods for context specific actions is disallowed' (_t, orm) {
    await Fastify().register(scopedDb, { orm })
    return await messageOf(async () => await orm.em.find(Item, {}))
  },
  async 'db.find is not a function' () {
    return await messageOf(() => { (db as unknown as { find (): void }).find() })
  },
  async 'The decorator \'db\' has already been added!' (_t, orm) {
    const app = Fastify()
    app.decorate('db' as never, {} as never)
    return await messageOf(async () => await app.register(scopedDb, { orm }))
  },
  async 'unflushed changes were dropped' (_t, orm) {
    let log = ''
    const app = Fastify({ logger: { stream: { write: line => { log += line } } } })
    await app.register(scopedDb, { orm })
    app.get('/', async request => { request.db.create(Item, { label: 'lost' }) })
    await app.inject('/')
    await app.close()
    return log
  },
  async 'of another copy of @mikro-orm/core' () {
    class MikroORM { readonly em = {}; readonly config = {}; readonly driver = {} }
    return await messageOf(async () => await Fastify().register(scopedDb, { orm: new MikroORM() as never }))
  },
  'Property \'db\' is missing in type' (t) {
    const folder = t.testdir()
    const copy = join(folder, 'node_modules/fastify')
    mkdirSync(copy, { recursive: true })
    for (const file of ['fastify.d.ts', 'types']) cpSync(join(ROOT, 'node_modules/fastify', file), join(copy, file), { recursive: true })
    const manifest = JSON.parse(readFileSync(join(ROOT, 'node_modules/fastify/package.json'), 'utf8')) as object
    writeFileSync(join(copy, 'package.json'), JSON.stringify({ ...manifest, version: '5.0.0' }))
    return compilerSays(folder, "import Fastify from 'fastify'\nimport scopedDb from 'fastify-scoped-db'\nawait Fastify().register(scopedDb, {})")
  },
  'Property \'db\' does not exist on type' (t) {
    return compilerSays(t.testdir(), "import Fastify from 'fastify'\nFastify().get('/', async request => request.db)")
  }
}

void t.test('each is brought about here', async t => {
  const symptoms = Object.keys(tableUnder('docs/errors.md', '## Symptoms')).map(symptom => symptom.replaceAll('`', '')).filter(symptom => !symptom.startsWith('FST_'))
  t.same(symptoms, Object.keys(causes))
})

for (const [symptom, seen] of Object.entries(causes)) {
  void t.test(symptom, async t => {
    const orm = await MikroORM.init(options)
    t.teardown(async () => { await orm.close() })
    t.match(await seen(t, orm), symptom)
  })
}
