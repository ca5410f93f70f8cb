import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { read, ROOT } from './support/fences.ts'

/** They start processes of their own, where a mutant would be lost. */
const WITH_PROCESSES = ['demo', 'docs-examples', 'docs-runners', 'torture', 'torture-checker', 'twenty-lines']

/** `docs` stands alone, and this test is about none of the code that is mutated. */
const ALONE = ['docs', 'mutation-groups']

void t.test('every test is in one group of those that mutants have to pass', async t => {
  const tests = readdirSync(join(ROOT, 'test')).flatMap(file => /^(.*)\.test\.ts$/.exec(file)?.[1] ?? [])
  const groups = readdirSync(join(ROOT, 'test/mutation'))
  const grouped = groups.flatMap(file => [...read(`test/mutation/${file}`).matchAll(/^import '\.\.\/(.*)\.test\.ts'$/gm)].map(([, name = '']) => name))
  t.same([...grouped, ...WITH_PROCESSES, ...ALONE].sort(), tests.sort())
  const config = read('stryker.config.js')
  for (const file of groups) t.match(config, `'${file.replace('.ts', '')}'`, file)
})
