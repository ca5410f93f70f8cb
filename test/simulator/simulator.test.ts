/** That the simulation can find something, and that a seed repeats it. */
import t from 'tap'
import { runScript } from '../support/run-script.ts'

t.jobs = 2

const simulate = async (...args: string[]) => await runScript('simulator/main.ts', '--seed', '7', ...args)

interface Mistake {
  readonly plugin: string
  readonly violation: RegExp
  /** Where it shows soon, or where nothing goes wrong that a hand-written plugin is not made for. */
  readonly only?: readonly [faults: string, routes: string]
}

const MISTAKES: readonly Mistake[] = [
  { plugin: 'simulator/broken/take-1180-for-a-refusal', only: ['doubt,not-primary', 'all'], violation: /was answered 500 \(ER_ERROR_DURING_COMMIT\), but its unit of work is whole/ },
  { plugin: 'simulator/broken/wait-for-the-silent', only: ['silence', 'limited,late'], violation: /^VIOLATION: \d+ scopes are open$/m },
  { plugin: 'torture/broken/autocommit-after-a-timeout', only: ['none', 'insert,late'], violation: /to \/late was answered 503 \(FST_ERR_HANDLER_TIMEOUT\), but its unit of work is torn/ },
  { plugin: 'torture/broken/commit-after-the-answer', only: ['none', 'insert'], violation: /to \/insert was answered 201, but its unit of work is absent/ },
  { plugin: 'torture/broken/commit-whatever-the-status', only: ['none', 'refuse'], violation: /to \/refuse was answered 422, but its unit of work is whole/ },
  { plugin: 'torture/broken/commit-the-second-database-first', only: ['none', 'both'], violation: /to \/both was answered 500 \(ER_DUP_ENTRY\), but its second database has it whole/ },
  { plugin: 'torture/broken/work-at-once', only: ['none', 'insert'], violation: /to \/insert has done its work after the commit, but is absent/ }
]

for (const { plugin, violation, only } of MISTAKES) {
  void t.test(`catches ${plugin}`, async t => {
    const { code, output } = await simulate('--plugin', `${plugin}.ts`, ...only === undefined ? [] : ['--faults', only[0], '--routes', only[1]])
    t.match(output, violation)
    t.match(output, /^seed \d+; to see it again: npm run simulate -- --seed \d+ --schedules 1 .*--plugin /m)
    t.equal(code, 1)
  })
}

void t.test('a seed repeats all of it, in the middle of others or alone', async t => {
  const plugin = ['--faults', 'doubt', '--plugin', 'simulator/broken/take-1180-for-a-refusal.ts']
  const first = await simulate(...plugin)
  const [, seed = ''] = /^seed (\d+);/m.exec(first.output) ?? []
  const again = await simulate(...plugin)
  const alone = await simulate(...plugin, '--seed', seed, '--schedules', '1')
  const violations = (output: string) => output.match(/^VIOLATION: .*$/gm)
  const hash = (output: string) => /^the same each time: (\w+)$/m.exec(output)?.[1]
  t.match(first.output, /^violations: [1-9]/m)
  t.same(violations(again.output), violations(first.output))
  t.equal(hash(again.output), hash(first.output))
  t.same(violations(alone.output), violations(first.output))
  t.match(alone.output, /^ +\d+\.\d ms {2}node \d, #\d+ commit: 1180/m, 'one by itself is shown with what was sent')
})

void t.test('finds nothing in this plugin', async t => {
  const { code, output } = await simulate('--schedules', '200')
  t.match(output, /^200 schedules from seed 7, \d+ requests/m)
  t.match(output, /^violations: 0$/m)
  t.equal(code, 0, output)
})

void t.test('says what is wrong with its arguments', async t => {
  t.match(await simulate('--help'), { code: 0, output: /npm run simulate -- \[options\]/ })
  t.match(await simulate('--faults', 'flood'), { code: 2, output: /--faults: there is no "flood", only cut,/ })
  t.match(await simulate('--schedules', 'many'), { code: 2, output: /--schedules is a whole number from 1, not many/ })
})
