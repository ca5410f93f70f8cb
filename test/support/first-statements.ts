/** Statements that a transaction can begin with, and what they are about. */
export type Server = 'mysql' | 'postgresql'

/** The column that each table generates. */
export const GENERATED = { thing: 'id', keyed: null, log: 'id', value: 'id', numbered: 'id' }

/** Makes the tables. */
export const SET_UP: Record<Server, string[]> = {
  mysql: [
    'create table thing (id int auto_increment primary key, name varchar(40) unique, amount int not null default 0, check (amount >= 0)) auto_increment = 100',
    'create table keyed (id varchar(40) primary key, thing int, foreign key (thing) references thing (id))',
    'create table log (id int auto_increment primary key, what varchar(40)) auto_increment = 5000',
    'create table value (id bigint unsigned auto_increment primary key, text_ text, json_ json, bin_ blob, date_ datetime(6), day_ date, decimal_ decimal(30, 10), big_ bigint, double_ double, bool_ tinyint(1), enum_ enum(\'a\', \'b\'), bit_ bit(10), year_ year, time_ time(3)) default charset utf8mb4',
    'create trigger logged after insert on thing for each row insert into log (what) values (new.name)',
    "create trigger refused before update on thing for each row if new.amount = 13 then signal sqlstate '45000' set message_text = 'no; luck'; end if",
    'create table numbered (id int auto_increment primary key, what varchar(40))',
    'create trigger numbers before insert on numbered for each row set new.id = 500',
    "insert into thing (id, name, amount) values (1, 'one', 1), (2, 'two', 2), (3, 'three', 3)",
    "insert into keyed values ('k', 1)"
  ],
  postgresql: [
    'create table thing (id serial primary key, name varchar(40) unique, amount int not null default 0, check (amount >= 0))',
    'alter sequence thing_id_seq restart 100',
    'create table keyed (id varchar(40) primary key, thing int references thing (id))',
    'create table log (id serial primary key, what varchar(40))',
    'create table numbered (id serial primary key, what varchar(40))',
    'create table value (id bigserial primary key, text_ text, json_ jsonb, bin_ bytea, date_ timestamptz(6), day_ date, decimal_ numeric(30, 10), big_ bigint, double_ double precision, bool_ boolean, list_ text[])',
    'create function logged() returns trigger language plpgsql as $$ begin insert into log (what) values (new.name); return new; end $$',
    'create trigger logged after insert on thing for each row execute function logged()',
    "create function refused() returns trigger language plpgsql as $$ begin if new.amount = 13 then raise exception 'no; luck'; end if; return new; end $$",
    'create trigger refused before update on thing for each row execute function refused()',
    "insert into thing (id, name, amount) values (1, 'one', 1), (2, 'two', 2), (3, 'three', 3)",
    "insert into keyed values ('k', 1)"
  ]
}

export const INSERT = "insert into thing (name) values ('new')"

/** Sent together on MariaDB and on PostgreSQL. */
export const BOTH = [
  INSERT,
  "insert into thing (name, amount) values ('a', 1), ('b', 2), ('c', 3)",
  "insert into thing (name) values ('one')",
  "insert into thing (name) values ('a'), ('one')",
  "insert into thing (name, amount) values ('x', -1)",
  "insert into thing (name, amount) values ('x', null)",
  "insert into thing (name) values ('much too long, as it has more than forty characters')",
  "insert into thing (name, amount) values ('x', 99999999999)",
  "insert into thing (nothing) values ('x')",
  "insert into keyed (id) values ('l'), ('m')",
  "insert into keyed (id, thing) values ('l', 99)",
  "insert into keyed (id) values ('k')",
  "insert into thing (name) values ('commit; -- # /* ')",
  'insert into thing (name) values (',
  "insert into thing (name) values ('",
  "INSERT\ninto thing (name)\n values ('a''b')",
  'update thing set amount = 5 where id = 99',
  'update thing set amount = 13',
  'update thing set amount = -1',
  'update thing set id = 2 where id = 1',
  'delete from log',
  "delete from keyed where id = 'k'",
  'delete from thing where id = 3',
  'delete from thing',
  'select * from thing order by id',
  'select * from thing where id = 2 for update',
  'select * from thing where id = 99',
  'select 1 as a, 2 as b, 3 as a',
  "select ';' as a, '--' as b, '#' as c, '/*' as d, '*/' as e",
  'select count(*) as n, max(name) as name, sum(amount) as sum, avg(amount) as avg from thing',
  'with a as (select 1 as n) select * from a',
  'select * from nowhere',
  'select nothing from thing',
  'select nothing(1)',
  'select from from thing',
  'select (select id from thing) as one'
]
/** Sent together on one of them. */
export const ON: Record<Server, string[]> = {
  mysql: [
    'insert into `thing` (`name`) values (\'new\')',
    'insert into `thing` () values ()',
    'update thing set amount = 7',
    'update thing set name = concat(name, amount), amount = 2 where amount >= 2',
    'update thing t join keyed k on k.thing = t.id set t.amount = 9',
    'delete t from thing t where t.id = 2',
    'delete from thing where id = 3 returning id, name',
    'select 1 into @a',
    'select 1 into nothing',
    'select @@nothing',
    'select @@tx_isolation',
    'select lower(1, 2)',
    'select 1 union select 2 order by nothing',
    'select * from (select 1)',
    "select 1 from thing where json_extract('{', '$') is null",
    'select cast(\'x\' as int) as x, 1/0 as y',
    'select * from thing lock in share mode',
    'select 1 as a limit 0',
    'select \'\\\'\' as a'
  ],
  postgresql: [
    "insert into thing (name) values ('new') returning *",
    "insert into thing (id, name) values (77, 'new') returning id",
    "insert into thing (name) values ('one') on conflict do nothing",
    "insert into thing (name) values ('one') on conflict (name) do update set amount = 8 returning id, amount",
    'insert into thing (name) select \'copy\' || id from thing',
    'insert into thing default values',
    'update thing set amount = 7',
    'update thing set amount = 7 returning *',
    'delete from thing where id = 3 returning id, name',
    "with a as (insert into thing (name) values ('new') returning id) select id is null as x from a",
    'select 1/0',
    'select * from thing for share',
    "select array[1, 2] as list, '{\"a\": 1}'::jsonb as json, 1::bigint as big, 1.50::numeric as n, null as none, true as yes, '\\xff00'::bytea as bin",
    "select '2020-02-30'::date",
    "select E'a\\'b' as a",
    'select $1',
    'select current_setting(\'transaction_isolation\') as level, current_setting(\'transaction_read_only\') as ro'
  ]
}
/** Sent apart. */
export const APART: Record<Server, string[]> = {
  mysql: [
    "insert into thing (id, name) values (77, 'new')",
    "insert into thing (`ID`, name) values (null, 'new')",
    "insert into thing values (77, 'new', 1)",
    "insert into thing (name) values ('one') on duplicate key update amount = 8",
    "insert into thing (name) values ('new') returning id",
    "insert ignore into thing (name) values ('one')",
    "insert into thing (name) select concat(name, 'copy') from thing",
    'insert into nowhere (name) values (1)',
    "insert into numbered (what) values ('by a trigger')",
    "replace into thing (name) values ('one')",
    'update thing set amount = last_insert_id(55)',
    'select last_insert_id() as id',
    'show grants',
    'set @a = 1',
    'select 1 as a -- a comment',
    'select 1 as a # a comment',
    'select 1 /*! as a */',
    "select 'a\\' as a; select 1 as b, '"
  ],
  postgresql: [
    'show server_version_num',
    'select 1 as a -- a comment',
    'select $$;$$ as a',
    'values (1)'
  ]
}
