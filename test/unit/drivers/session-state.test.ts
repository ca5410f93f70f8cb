import t from 'tap'
import { leavesState } from '../../../lib/drivers/sql/session-state.ts'

const LEAVES = [
  "set session sql_mode = ''", 'SET sql_mode = 1', 'set @@session.sql_mode = 1', 'set @@sql_mode = 1', 'set names latin1', 'set character set latin1', 'set role admin', 'set autocommit = 0',
  'set session transaction isolation level read committed', "set search_path = 'other'", 'set @a = 1, session sql_mode = 1', 'set @a = 1, @@sql_mode = 1', 'set @a = 1, sql_mode = 1', 'set session authorization other',
  'set session characteristics as transaction read only', "select get_lock('a', 1)", 'do get_lock("a", 1)', 'select pg_advisory_lock(1)', 'select pg_try_advisory_lock_shared(1)', "select set_config('role', 'a', false)",
  'lock tables a write', ' use other', 'create temporary table a (b int)', 'CREATE OR REPLACE TEMPORARY TABLE a (b int)', 'create temp table a as select 1', 'prepare a from "select 1"', 'handler a open', 'listen a',
  'select 1; set session sql_mode = 1', "select ';'; use other", '/*! set session sql_mode = 1 */', '/*!50003 set session sql_mode = 1 */', '/*M!100100 set sql_mode = 1 */', 'set\nsession sql_mode = 1',
  '/* x */ set session sql_mode = 1', '-- x\n# y\nset session sql_mode = 1', '/* x */ use other', 'create /* x */ temporary table a (b int)', "insert into a select get_lock('a', 1)", 'insert into a values (1); set session sql_mode = 1',
  'set global sql_mode = 1, session sql_mode = 2', 'set global a = 1, b = 2', 'set @a = 1, `sql_mode` = 1', 'set @a = 1, names latin1', 'set @`a` = 1, @@`sql_mode` = 1', 'set password = 1, sql_mode = 1', 'execute immediate "set session sql_mode = 1"', 'execute a',
  'set statement max_statement_time = 1 for set session sql_mode = 1', 'begin', 'BEGIN immediate', 'start transaction', "xa start 'a'", 'flush tables with read lock', 'flush tables a for export', 'backup stage start', 'commit and chain', 'rollback work and chain',
  "select '\\'; use other; select '\\'"
]

const LEAVES_NOTHING = [
  'set @a = 1', "set @a := 'b, c'", 'set @a = 1, @b = 2', 'set @a = @@sql_mode', 'set global sql_mode = 1', 'set persist sql_mode = 1', 'set @@global.sql_mode = 1', 'set global a = 1, global b = 2', 'set global a = 1, @b = 2', 'set @`a` = 1, @@global.`b` = 2', "set @a = 'b, c = d'", 'set statement max_statement_time = 1 for select 1', 'set password = 1',
  'set constraints all deferred', 'set identity_insert a on; insert into a values (1); set identity_insert a off', 'select 1', "select 'set session a'", 'insert into a values (\'; set session sql_mode = 1\')',
  'update a set b = 1', 'select pg_advisory_xact_lock(1)', 'select release_lock("a")', 'create table a (b int)', 'alter table a add c int', 'call a()', 'commit', 'rollback', 'end', 'flush tables', 'start slave', 'select 1; select 2', 'update a set b = 1, c = 2', "insert into a values ('begin')"
]

void t.test('what a statement leaves on its connection', t => {
  for (const isDdlTransactional of [true, false]) {
    for (const sql of LEAVES) t.equal(leavesState(sql, isDdlTransactional), true, sql)
    for (const sql of LEAVES_NOTHING) t.equal(leavesState(sql, isDdlTransactional), false, sql)
  }
  for (const sql of ['set local a = 1', 'set transaction isolation level serializable', 'set local role a']) {
    t.equal(leavesState(sql, true), false, sql)
    t.equal(leavesState(sql, false), true, sql)
  }
  t.end()
})
