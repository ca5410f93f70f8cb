/** That the torture can fail: it catches plugins that are wrong, each in one way, and lets the right one pass. */
import t from 'tap'
import { availableKinds } from '../support/databases.ts'
import { runScript } from '../support/run-script.ts'

const torture = async (...args: string[]) => await runScript('torture/main.ts', ...args)

t.jobs = 2

const small = ['--requests', '600', '--clients', '4', '--seed', '7']

const wrong = (plugin: string, faults: string, routes: string) => [...small, '--plugin', `torture/broken/${plugin}.ts`, '--faults', faults, '--routes', routes]

interface Mistake {
  readonly faults: string
  readonly routes: string
  readonly violation: RegExp
}

/** The mistakes, what brings them to light, and what is found. */
const MISTAKES: Record<string, Mistake> = {
  'commit-after-the-answer': { faults: 'unique', routes: 'insert', violation: /to \/insert was answered 201, but its unit of work is absent/ },
  'dispose-only-in-on-response': { faults: 'client-handler', routes: 'insert', violation: /after 5000 ms of rest: \d+ scopes are open/ },
  'leave-what-hooks-have-opened': { faults: 'client-hook', routes: 'insert', violation: /after 5000 ms of rest: \d+ scopes are open/ },
  'hold-a-connection-during-the-upload': { faults: 'stalled-uploads', routes: 'insert', violation: /while clients stall in their uploads nobody can write: 503 FST_SCOPED_DB_ACQUIRE_TIMEOUT/ },
  'take-any-error-for-a-refusal': { faults: 'refuse-commit', routes: 'insert', violation: /to \/insert was answered 500 \(ER_ERROR_DURING_COMMIT\), but its unit of work is whole/ },
  'commit-whatever-the-status': { faults: 'none', routes: 'insert,refuse', violation: /to \/refuse was answered 422, but its unit of work is whole/ },
  'commit-the-second-database-first': { faults: 'unique', routes: 'both', violation: /to \/both was answered 500 \(ER_DUP_ENTRY\), but its second database has it whole/ },
  'work-at-once': { faults: 'unique', routes: 'insert', violation: /to \/insert has done its work after the commit, but is absent/ },
  'forget-the-payload': { faults: 'unique', routes: 'download', violation: /after 5000 ms of rest: \d+ files of replies are open/ },
  'unhandled-rejection': { faults: 'none', routes: 'insert', violation: /the run was broken off: Error: the application ended by itself \(exit code 1\)/ },
  'poison-later-requests': { faults: 'none', routes: 'insert', violation: /with nothing to disturb it \/insert answers 500/ },
  'autocommit-after-a-timeout': { faults: 'none', routes: 'insert,late', violation: /to \/late was answered 503 \(FST_ERR_HANDLER_TIMEOUT\), but its unit of work is torn/ }
}

/** What one knows that somebody writes in an afternoon. */
const ORDINARY = 'read,idle,insert,hold,flush,nest,run,update,read-modify-write,conflict,refuse,throw,late,redirect,stream,download,hijack,upload,login'

if (availableKinds().includes('mysql')) {
  for (const [plugin, { faults, routes, violation }] of Object.entries(MISTAKES)) {
    void t.test(`catches ${plugin}`, async t => {
      const { code, output } = await torture(...wrong(plugin, faults, routes))
      t.equal(code, 1)
      t.match(output, violation)
      t.match(output, /^seed 7; the application's logs are in /m)
      if (/to \/\w+ was answered/.test(output)) t.match(output, /^ {2}\{.*"reqId":"t\d+".*\}$/m, 'the log of an offending request is shown')
    })
  }

  void t.test('finds nothing in the same plugin without a mistake', async t => {
    const { code, output } = await torture(...wrong('nothing', 'client-upload,client-hook,client-handler,client-reply,slow-reader,unique,refuse-commit', ORDINARY))
    t.match(output, /^violations: 0$/m)
    t.equal(code, 0, output)
  })

  void t.test('finds in it that it does not wait for a server that is full', async t => {
    const { output } = await torture(...wrong('nothing', 'max-connections', 'insert'))
    t.match(output, /to \/insert waited only \d+ ms for the server to have a place/)
  })
}

if (availableKinds().includes('postgresql')) {
  void t.test('finds nothing in this plugin, on PostgreSQL', async t => {
    const { code, output } = await torture('--database', 'postgresql', '--requests', '1000', '--seed', '7', '--faults', 'unique,unconvertible,deadlock,kill-commit,refuse-commit,second-commit,max-connections,crash')
    t.match(output, /^violations: 0$/m)
    t.equal(code, 0, output)
  })

  void t.test('catches commit-the-second-database-first, on PostgreSQL', async t => {
    const { output } = await torture(...wrong('commit-the-second-database-first', 'unique', 'both'), '--database', 'postgresql')
    t.match(output, /to \/both was answered 500 \(23505\), but its second database has it whole/)
  })
}

void t.test('finds nothing in this plugin, on SQLite', async t => {
  const { code, output } = await torture('--database', 'sqlite', '--requests', '1000', '--seed', '7')
  t.match(output, /^violations: 0$/m)
  t.equal(code, 0, output)
})

void t.test('says what is wrong with its arguments', async t => {
  t.match(await torture('--help'), { code: 0, output: /npm run torture -- \[options\]/ })
  t.match(await torture('--faults', 'rain'), { code: 2, output: /there is no "rain" for mysql, only client-upload/ })
  t.match(await torture('--database', 'sqlite', '--faults', 'crash'), { code: 2, output: /there is no "crash" for sqlite/ })
  t.match(await torture('--database', 'oracle'), { code: 2, output: /--database is mysql or postgresql or sqlite, not oracle/ })
  t.match(await torture('--routes', 'insert,rain'), { code: 2, output: /--routes: there is no "rain", only read, idle, insert/ })
  t.match(await torture('--rain'), { code: 2, output: /Unknown option '--rain'[\s\S]*npm run torture/ })
  t.match(await torture('--requests', 'many'), { code: 2, output: /--requests is a whole number from 1, not many/ })
})
