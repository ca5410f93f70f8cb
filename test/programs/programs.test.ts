/** That the judges of programs can find something: they catch plugins that are wrong, each in one way, and let the right one pass. */
import t from 'tap'
import { findPython } from '../../programs/python.ts'
import { runScript } from '../support/run-script.ts'

t.jobs = 2

const programs = async (...args: string[]) => await runScript('programs/main.ts', ...args)

/** What the simple plugins do not take part in. */
const small = ['--count', '300', '--seed', '7', '--without', 'nested,parallel,stumble,catch']

const MISTAKES: Record<string, RegExp> = {
  'commit-whatever-the-status': /^- \w+, of which nothing was to be committed, (differs|is in the database)/m,
  'drop-what-was-created-last': /^- \w+, which the session shows, is not in the database/m,
  'leave-scopes-open': /^- 1 scopes are left open$/m,
  // With what the session shows it agrees.
  'take-changes-back': /made as small as it gets:\n\n(?:(?!^- ).*\n)*- in the database: \w+ of \w+ is .*; with SQLAlchemy .*\n(- in the database: .*; with SQLAlchemy .*\n)*\n/m,
  'write-after-the-answer': /^- label0, which the session shows, differs: title is "a", in the database "late"$/m
}

const skip = findPython() === undefined && 'this machine has no SQLAlchemy: apt-get install python3-sqlalchemy'

for (const [plugin, difference] of Object.entries(MISTAKES)) {
  void t.test(`catches ${plugin}`, { skip }, async t => {
    const { code, output } = await programs(...small, '--plugin', `programs/broken/${plugin}.ts`)
    t.match(output, difference)
    t.equal(code, 1)
  })
}

void t.test('finds nothing in the same plugin without a mistake', { skip }, async t => {
  const { code, output } = await programs(...small, '--plugin', 'programs/broken/nothing.ts')
  t.match(output, /^differences: 0$/m)
  t.equal(code, 0)
})

void t.test('a difference is found again at its path', { skip }, async t => {
  const wrong = ['--without', 'nested,parallel,stumble,catch', '--plugin', 'programs/broken/drop-what-was-created-last.ts']
  const first = await programs('--count', '300', '--seed', '7', ...wrong)
  const [, path] = /^again: npm run programs -- .* --path ([\d:]+) /m.exec(first.output) ?? []
  const again = await programs('--seed', '7', '--path', String(path), ...wrong)
  const handlerOf = (output: string) => /^app\.[\s\S]*?^}\)$/m.exec(output)?.[0]
  t.type(handlerOf(first.output), 'string')
  t.equal(handlerOf(again.output), handlerOf(first.output))
})

void t.test('goes on after a difference, and tells those of one shape only once', { skip }, async t => {
  const { code, output } = await programs(...small, '--count', '20', '--keep-going', '100', '--plugin', 'programs/broken/write-after-the-answer.ts')
  const [, times] = /^ {2}(\d+) times .*label, which the session shows, differs: title is$/m.exec(output) ?? []
  t.ok(Number(times) > 1)
  t.equal(code, 1)
})

void t.test('says what is wrong with its arguments', async t => {
  t.match(await programs('--help'), { code: 0, output: /npm run programs -- \[options\]/ })
  t.match(await programs('--database', 'oracle'), { code: 2, output: /--database is sqlite or mysql or postgresql, not oracle/ })
  t.match(await programs('--count', 'many'), { code: 2, output: /--count is a whole number from 1, not many/ })
})
