/** What is in the database before each program, with ids that no sequence comes to. SQLAlchemy's is given the same. */
export const SEEDS = [
  "insert into item (id, version, name, title, code, place_street, place_city, data) values (1000001, 1, 'item0', 'a', 'item0', 's', 'a', null), (1000002, 1, 'item1', 'b', 'item1', 's', 'b', '{\"count\":1}')",
  "insert into part (id, version, name, title, item_id) values (1000001, 1, 'part0', 'a', 1000001), (1000002, 1, 'part1', 'b', 1000002)",
  "insert into label (id, version, name, title) values (1000001, 1, 'label0', 'a'), (1000002, 1, 'label1', 'b')",
  'insert into item_label (item_id, label_id) values (1000001, 1000001), (1000002, 1000002)'
]

/** Empties the tables. */
export const EMPTY = ['item_label', 'part', 'label', 'item'].map(table => `delete from ${table}`)

/** Reads them, in the order of `Tables`. */
export const READ = ['item', 'part', 'label', 'item_label'].map(table => `select * from ${table}`)
