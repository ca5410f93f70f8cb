import t from 'tap'
import { fingerprint } from '../../../lib/drivers/sql/fingerprint.ts'

const SAME: readonly (readonly [string, ...string[]])[] = [
  ['select * from `item` where `id` = ?', 'select * from `item` where `id` = 7', 'select * from `item` where `id` = $1', "select * from `item` where `id` = 'it''s'", "select *\n  from `item`\n  where `id` = 'it\\'s'"],
  ['select "i0"."id" from "item" as "i0" where "i0"."id" in (?)', 'select "i0"."id" from "item" as "i0" where "i0"."id" in (1, 2, 3)', 'select "i0"."id" from "item" as "i0" where "i0"."id" in ($1, $2)'],
  ['insert into item (label) values (?)', "insert into item (label) values ('a'), ('b')", 'insert into item (label) values (?), (?), (?)'],
  ['insert into item values (?)', 'insert into item values (?, ?), (?, ?)'],
  ['select ? + ?', 'select 1.5e-3 + 2'],
  ['select i0.id from t2 as i0 where a1 = @v1', 'select i0.id from t2 as i0 where a1 = @v1'],
  ["select ? || 'open", "select 'a' || 'open"]
]

void t.test('texts that differ in their values have the same, which has none of them', async t => {
  for (const [expected, ...texts] of SAME) {
    for (const text of [expected, ...texts]) t.equal(fingerprint(text), expected, text)
  }
})

void t.test('names and words are no values', async t => {
  const texts = ['select a1 from t', 'select a2 from t', 'select "1" from t', 'select `2` from t', 'select a1 from t where b = ? and c = ?']
  t.equal(new Set(texts.map(fingerprint)).size, texts.length)
})
