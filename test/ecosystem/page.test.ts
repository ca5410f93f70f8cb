/** docs/ecosystem.md tells of what is run here, and of nothing else. */
import { globSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import t from 'tap'
import { fencesOf, read, ROOT } from '../support/fences.ts'

const PAGE = 'docs/ecosystem.md'
const page = read(PAGE)

interface Lock { packages: Record<string, { version?: string, dependencies?: Record<string, string> }> }
const installed = [join(import.meta.dirname, 'package-lock.json'), join(ROOT, 'package-lock.json')].map(file => (JSON.parse(readFileSync(file, 'utf8')) as Lock).packages)

const rows = [...page.matchAll(/^\| `([^`]+)`.* \| ([\d.]+) \| .*\]\((\S+)\) \|$/gm)].map(([, name = '', version = '', run = '']) => ({ name, version, run: join('docs', run) }))

/** What only serves to try the others. */
const CLIENTS = ['@fastify/cookie', '@nestjs/common', '@nestjs/core', '@opentelemetry/api', '@trpc/client', 'awilix', 'eventsource', 'graphql', 'graphql-ws', 'passport-local', 'reflect-metadata', 'rxjs', 'ws']

void t.test('the versions are those that are installed', async t => {
  t.not(rows.length, 0)
  for (const { name, version } of rows) t.equal(version, installed.map(packages => packages[`node_modules/${name}`]?.version).find(found => found !== undefined), name)
})

void t.test('every package has its row, and every run is there and runs it', async t => {
  const names = rows.map(({ name }) => name)
  t.same(Object.keys(installed[0]?.['']?.dependencies ?? {}).filter(name => !CLIENTS.includes(name) && !names.includes(name)), [])
  for (const { name, run } of rows) t.match(read(run), name, `${run} runs ${name}`)
  const runs = [...page.matchAll(/\]\((\S+\.test\.ts)\) \|$/gm)].map(([, run = '']) => basename(run))
  t.same(globSync('*.test.ts', { cwd: import.meta.dirname }).filter(file => file !== 'page.test.ts' && !runs.includes(file)), [])
})

void t.test('the recipes are those that are run', async t => {
  const recipes = globSync('recipes/*.ts', { cwd: import.meta.dirname }).map(file => ({ name: basename(file, '.ts'), code: readFileSync(join(import.meta.dirname, file), 'utf8') }))
  const shown = fencesOf(PAGE).filter(({ info }) => info.includes('recipe='))
  t.same(shown.map(({ info }) => info.replace('recipe=', '')).sort(), recipes.map(({ name }) => name).sort())
  for (const { name, code } of recipes) {
    t.equal(shown.find(({ info }) => info === `recipe=${name}`)?.code, code
      .replace("'../../../plugin.ts'", "'fastify-scoped-db'")
      .replace("{ ItemSchema as Item } from '../../support/entities.ts'", "{ Item } from './entities.ts'"), name)
  }
})
