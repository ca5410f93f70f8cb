import type { Driver, DriverError, ErrorKind } from './contracts.ts'
import { isRollbackState, kindOfState, kindsByCode } from './kinds.ts'
import { beginWith } from './mariadb-compound.ts'
import { MYSQL_REPLICATION } from './mysql-replication.ts'
import { words } from './sql/functions.ts'
import { UNKNOWN } from './unknown.ts'

const NEVER_SENT = ["Can't add new command when connection is in closed state"]

/** MySQL and MariaDB, by way of mysql2 or mariadb. */
export const MYSQL: Driver = {
  ...UNKNOWN,
  adapters: ['MysqlAdapter'],
  begins: 'in SQL',
  systemOf: driver => driver.startsWith('MariaDb') ? 'mariadb' : 'mysql',
  explain: 'explain',
  errors: {
    kindOf,
    isOwn,
    refuses: ({ sqlState }) => isRollbackState(sqlState),
    neverSent: NEVER_SENT
  },
  functions: words(
    'index key rlike regexp explain interval row double binary varbinary tinyint mediumint datetime timestamp match against ' +
    'group_concat bit_and bit_or stddev stddev_pop stddev_samp variance var_pop var_samp json_arrayagg json_objectagg ifnull isnull if greatest least convert ' +
    'lcase ucase left right lpad rpad reverse repeat space char_length character_length bit_length substring_index instr position locate ascii ord hex unhex ' +
    'field elt find_in_set strcmp regexp_instr regexp_substr regexp_replace soundex quote to_base64 from_base64 md5 sha sha1 sha2 crc32 truncate rand log2 ' +
    'now localtime localtimestamp curdate curtime sysdate utc_timestamp utc_date utc_time year month day dayname dayofmonth dayofweek dayofyear monthname ' +
    'hour minute second microsecond week weekday weekofyear yearweek quarter last_day extract date_format date_add date_sub adddate subdate addtime subtime ' +
    'datediff timediff timestampdiff timestampadd from_unixtime unix_timestamp str_to_date to_days from_days time_format maketime makedate convert_tz ' +
    'json_extract json_unquote json_value json_contains json_contains_path json_overlaps json_length json_keys json_type json_valid json_array json_search ' +
    'json_quote json_set json_insert json_remove json_merge_patch json_table st_asbinary st_astext st_distance st_distance_sphere st_contains st_within ' +
    'st_geomfromtext st_srid st_x st_y inet_aton inet_ntoa inet6_aton inet6_ntoa uuid version database schema sleep benchmark'),
  processes: {
    // MariaDB alone reads such a comment: where the server is, and since when it runs, which is the upper half of `uuid_short()`. No variable with an @, after
    // which ProxySQL keeps a connection to itself.
    ownId: 'select connection_id() as id, version() as version/*M!100000 , concat(uuid_short() >> 24, (select group_concat(variable_value order by variable_name) ' +
      "from information_schema.global_variables where variable_name in ('hostname', 'port'))) as server */",
    statesOf: ids => `select id as id, command as state from information_schema.processlist where id in (${ids.join(', ')})`,
    working: 'Query',
    idle: 'Sleep'
  },
  beginWith,
  idleIn: client => (client as { _freeConnections?: { length: number } })._freeConnections?.length,
  // Galera. Inside a transaction it would be too late, and stay on the connection.
  causalReads: { begin: 'set statement wsrep_sync_wait=1 for begin', check: "show variables where variable_name = 'wsrep_on' and value = 'ON'" },
  replication: MYSQL_REPLICATION
}

/** By the server's numbers. */
const KINDS = kindsByCode({
  unique: [1062, 1169, 1557, 1569, 1586],
  'foreign key': [1216, 1217, 1451, 1452, 1701, 1761, 1762],
  check: [3819, 4025],
  'not null': [1048, 1263, 1364, 1566],
  'invalid value': [1264, 1265, 1292, 1366, 1406, 1411, 1690],
  // The last is a lock table that is full, after which InnoDB rolls back as well.
  deadlock: [1213, 1614, 1206],
  // The second is MySQL's for NOWAIT.
  'lock timeout': [1205, 3572],
  // MariaDB: a row has changed since the snapshot was taken. MySQL's Group Replication: the certification has failed.
  serialization: [1020, 3101],
  // KILL QUERY; the time limits of MariaDB and of MySQL.
  interrupted: [1317, 1969, 3024],
  // Too many connections, shut down, not ready (Galera), killed, idle for too long, and what client libraries say.
  connection: [1040, 1203, 1053, 1184, 1047, 1927, 4031, 2002, 2003, 2005, 2006, 2013],
  'read only': [1836],
  access: [1044, 1045, 1049, 1698],
  privilege: [1095, 1142, 1143, 1227, 1370]
})

/** Galera says so when the certification fails, with the storage engine's reason in the message. */
const ERROR_DURING_COMMIT = 1180

/** The first number in the message, which comes in the language of the server. */
const CERTIFICATION_FAILED = /^\D*\b149\b/

/** The server was started with an option that forbids it, which the message names. */
const OPTION_PREVENTS = 1290

/** mysql2's own errors. */
const LOST = new Set<unknown>(['PROTOCOL_CONNECTION_LOST', 'PROTOCOL_SEQUENCE_TIMEOUT'])
const LOST_MESSAGES = new Set([...NEVER_SENT, "Can't write in closed state"])

function kindOf ({ message, code, errno, sqlState, sqlMessage }: DriverError): ErrorKind | undefined {
  const said = String(sqlMessage ?? message)
  if (errno === ERROR_DURING_COMMIT) return CERTIFICATION_FAILED.test(said) ? 'deadlock' : undefined
  if (errno === OPTION_PREVENTS) return /read[-_]only/.test(said) ? 'read only' : undefined
  return KINDS.get(errno) ?? kindOfState(sqlState) ?? (LOST.has(code) || LOST_MESSAGES.has(message) ? 'connection' : undefined)
}

/** The codes beside `fatal`: mysql2's own and mariadb's, the server's, and those of Node's sockets. Applications have fatal errors, too. */
const CODE = /^(?:PROTOCOL_|HANDSHAKE_|AUTH_|ER_|ERR_|EAI_|E[A-Z]+$)/

function isOwn ({ code, errno, sqlState, fatal }: DriverError): boolean {
  return typeof sqlState === 'string' || (typeof fatal === 'boolean' && (typeof errno === 'number' || (typeof code === 'string' && CODE.test(code))))
}
