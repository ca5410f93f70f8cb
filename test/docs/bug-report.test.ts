/** Runs the script that the form for bug reports has in it, as somebody does who has not changed it yet. */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { childEnvironment as env } from '../support/child-environment.ts'
import { read } from '../support/fences.ts'
import { folderWithPackage } from '../support/installed.ts'

const [, indented = ''] = /^ {6}render: js\n {6}value: \|\n((?: {8}.*\n|\n)+)/m.exec(read('.github/ISSUE_TEMPLATE/bug_report.yml')) ?? []
const script = indented.replaceAll(/^ {8}/gm, '')

void t.test('it runs, ends by itself, and shows what is committed', async t => {
  const file = join(folderWithPackage(t), 'reproduction.mjs')
  const outputOf = (source: string) => {
    writeFileSync(file, source)
    const { status, stdout, stderr } = spawnSync(process.execPath, [file], { env, encoding: 'utf8', timeout: 60_000 })
    t.same([status, stderr], [0, ''])
    return stdout
  }

  const answered = 'answered 200 {"id":1,"label":"one"}'
  t.equal(outputOf(script), `${answered}\nin the database [ Item { id: 1, label: 'one' } ]\nleft open 0\n`)
  const conflict = script.replace('async request => {', 'async (request, reply) => {\n  reply.code(409)')
  t.match(outputOf(conflict), /^answered 409 .*\nin the database \[\]$/m)
})
