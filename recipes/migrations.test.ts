/** Does what docs/recipes/migrations.md says, in a folder with the files that it shows. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { childEnvironment } from '../test/support/child-environment.ts'
import { fencesOf, read } from '../test/support/fences.ts'
import { typeErrorsOf } from '../test/support/doc-modules.ts'
import { folderWithPackages } from './folder.ts'

const fences = fencesOf('docs/recipes/migrations.md')
const files = fences.flatMap(({ file, code }) => file === undefined ? [] : [{ file, code }])
const [install = '', commands = ''] = fences.filter(({ language }) => language === 'sh').map(({ code }) => code)

void t.test('what is installed is of the version that is tested here', async t => {
  const { dependencies } = JSON.parse(read('recipes/package.json')) as { dependencies: Record<string, string> }
  for (const [, name = '', version] of install.matchAll(/(@mikro-orm\/\w+)@(\S+)/g)) t.equal(version, dependencies[name], name)
})

void t.test('the CLI and the application have one config file', async t => {
  const folder = folderWithPackages(t)
  for (const { file, code } of files) {
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    writeFileSync(join(folder, file), code)
  }
  t.same(typeErrorsOf(files.map(({ file }) => join(folder, file))), [])

  const run = (command: string, ...args: string[]) => execFileSync(command, args, { cwd: folder, env: childEnvironment, encoding: 'utf8', timeout: 120_000, stdio: ['ignore', 'pipe', 'pipe'] })
  const shown = run('bash', '-ec', commands)
  t.match(shown, /Migration\d+\.ts successfully created[^]*Applied 'Migration\d+'[^]*DatabaseSeeder/)
  const ask = `
    const { buildApp } = await import('./app.ts')
    const app = await buildApp()
    const users = async () => (await app.inject('/users')).json().map(({ name }) => name)
    const seen = [await users()]
    const { isolate } = await import('fastify-scoped-db/testing')
    const { DatabaseSeeder } = await import('./seeders/DatabaseSeeder.ts')
    const isolation = await isolate(app)
    await app.db.run(async session => await session.nativeDelete('User', {}))
    await app.db.orm.seeder.seed(DatabaseSeeder)
    seen.push(await users())
    await app.db.run(async session => await session.nativeDelete('User', {}))
    await isolation.release()
    await app.db.run(async session => await session.nativeDelete('User', {}))
    await app.db.orm.seeder.seed(DatabaseSeeder)
    seen.push(await users(), await app.db.orm.migrator.getPending())
    await app.close()
    console.log(JSON.stringify(seen))
  `
  t.same(JSON.parse(run(process.execPath, '--input-type=module', '--eval', ask)), [['Ada'], ['Ada'], ['Ada'], []])
})
