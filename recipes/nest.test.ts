/** Runs the NestJS application of docs/from-request-context.md, whose decorators Node does not know. */
import type { NestFastifyApplication } from '@nestjs/platform-fastify'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import ts from 'typescript'
import { db } from '../plugin.ts'
import { typeErrorsOf } from '../test/support/doc-modules.ts'
import { fencesOf } from '../test/support/fences.ts'
import { folderWithPackages } from './folder.ts'

const { code = '' } = fencesOf('docs/from-request-context.md').find(({ file }) => file === 'main.ts') ?? {}
const decorators: ts.CompilerOptions = { experimentalDecorators: true, emitDecoratorMetadata: true, erasableSyntaxOnly: false }

void t.test('it passes the compiler', async t => {
  const file = join(folderWithPackages(t), 'main.ts')
  writeFileSync(file, code)
  t.same(typeErrorsOf([file], decorators), [])
})

void t.test('it does what the page says', async t => {
  const file = join(folderWithPackages(t), 'main.js')
  writeFileSync(file, ts.transpileModule(code, { compilerOptions: { ...decorators, module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023 } }).outputText)
  const { createApp } = await import(file) as { createApp (): Promise<NestFastifyApplication> }
  const app = await createApp()
  t.teardown(async () => await app.close())
  await app.init()
  await db.orm.schema.create()
  const ada = { name: 'Ada', email: 'ada@example.com' }
  const post = async () => await app.inject({ method: 'POST', url: '/users', payload: ada })
  t.match(await post(), { statusCode: 201, body: JSON.stringify({ id: 1, ...ada }) })
  const conflict = await post()
  t.equal(conflict.statusCode, 409, conflict.body)
  t.match((await app.inject('/users/1')).json(), ada)
  t.equal((await app.inject('/users/2')).statusCode, 404)
  t.equal(await db.run(async session => await session.count('User' as never)), 1)
  t.equal(db.openScopes, 0)
})
