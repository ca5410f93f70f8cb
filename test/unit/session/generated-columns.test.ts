import type { EntityManager } from '@mikro-orm/core'
import t from 'tap'
import { generatedColumn } from '../../../lib/session/generated-columns.ts'

const table = (tableName: string, column: string, autoincrement?: boolean) => ({ tableName, props: [{ autoincrement, fieldNames: [column] }] })

/** An EntityManager that knows of these tables. */
const emOf = (...metadata: object[]) => ({ getMetadata: () => metadata }) as unknown as EntityManager

void t.test('entities say which column of a table is generated', async t => {
  const em = emOf(table('item', 'id', true), table('tag', 'name'))
  t.equal(generatedColumn(em, 'item'), 'id')
  t.equal(generatedColumn(em, 'tag'), null)
  t.equal(generatedColumn(em, 'nowhere'), undefined)
})

void t.test('where they differ about a table, nothing is known of it', async t => {
  const em = emOf(table('item', 'id', true), table('item', 'id', true), table('tag', 'id', true), table('tag', 'number', true))
  t.equal(generatedColumn(em, 'item'), 'id')
  t.equal(generatedColumn(em, 'tag'), undefined)
})
