/** That the torture can fail: it catches plugins that are wrong, each in one way, and lets the right one pass. */
import t from 'tap'
import { availableKinds } from '../support/databases.ts'
import { runScript } from '../support/run-script.ts'

const torture = async (...args: string[]) => await runScript('torture/main.ts', ...args)

t.jobs = 2

const small = ['--requests', '600', '--clients', '4', '--seed', '7']

const wrong = (plugin: string, faults: string) => [...small, '--plugin', `torture/broken/${plugin}.ts`, '--faults', faults]

/** The mistakes, the faults that bring them to light, and what is found. */
const MISTAKES: Record<string, { faults: string, violation: RegExp }> = {
  'commit-after-the-answer': { faults: 'unique', violation: /to \/insert was answered 201, but its unit of work is absent/ },
  'dispose-only-in-on-response': { faults: 'client-handler', violation: /after 5000 ms of rest: \d+ scopes are open/ },
  'commit-whatever-the-status': { faults: 'none', violation: /to \/refuse was answered 422, but its unit of work is whole/ },
  'unhandled-rejection': { faults: 'none', violation: /the run was broken off: Error: the application ended by itself \(exit code 1\)/ },
  'poison-later-requests': { faults: 'none', violation: /with nothing to disturb it \/insert answers 500/ },
  'autocommit-after-a-timeout': { faults: 'none', violation: /to \/late was answered 503 \(FST_ERR_HANDLER_TIMEOUT\), but its unit of work is torn/ }
}

if (availableKinds().includes('mysql')) {
  for (const [plugin, { faults, violation }] of Object.entries(MISTAKES)) {
    void t.test(`catches ${plugin}`, async t => {
      const { code, output } = await torture(...wrong(plugin, faults))
      t.equal(code, 1)
      t.match(output, violation)
      t.match(output, /^seed 7; the application's logs are in /m)
      if (/to \/\w+ was answered/.test(output)) t.match(output, /^ {2}\{.*"reqId":"t\d+".*\}$/m, 'the log of an offending request is shown')
    })
  }

  void t.test('finds nothing in the same plugin without a mistake', async t => {
    const { code, output } = await torture(...wrong('nothing', 'client-upload,client-handler,client-reply,unique'))
    t.match(output, /^violations: 0$/m)
    t.equal(code, 0, output)
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
  t.match(await torture('--database', 'oracle'), { code: 2, output: /--database is mysql or sqlite, not oracle/ })
  t.match(await torture('--rain'), { code: 2, output: /Unknown option '--rain'[\s\S]*npm run torture/ })
  t.match(await torture('--requests', 'many'), { code: 2, output: /--requests is a whole number from 1, not many/ })
})
