import type { Dialect } from './dialect.ts'

/**
 * What a plain read may have ahead of a bracket. Functions that read their arguments, and the clock, and nothing else, and words of the grammar that
 * call nothing. A function that is not here may write, lock or commit: databases let a SELECT call those that users have made, and some of their
 * own. So each name is here where it is built in, in all versions that are in use, and users' own cannot take its place: elsewhere it may be a user's.
 */
const EVERYWHERE = words(
  // Of the grammar, and types with a length
  'select distinct from join on using where and or not in all union except intersect as by having when then else case between like is values with over limit ' +
  'decimal numeric dec float real precision char character varchar int integer bigint smallint cast exists ' +
  // Aggregates and windows
  'count sum min max avg row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value ' +
  // Conditions, texts
  'coalesce nullif lower upper length octet_length substr substring trim ltrim rtrim concat concat_ws format ' +
  // Numbers
  'abs sign ceil ceiling floor round mod power pow sqrt exp ln log log10 pi radians degrees sin cos tan asin acos atan atan2 ' +
  // Times, JSON
  'current_timestamp current_date current_time date time json_object')

const BUILT_IN: Record<Dialect, ReadonlySet<string>> = {
  mysql: words(
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
  postgresql: words(
    'any some array ilike filter within group lateral row materialized varying timestamp interval ' +
    'string_agg array_agg bool_and bool_or every bit_and bit_or stddev stddev_pop stddev_samp variance var_pop var_samp greatest least ' +
    'initcap left right lpad rpad btrim reverse repeat char_length character_length bit_length position strpos ascii chr translate split_part starts_with ' +
    'regexp_replace regexp_matches quote_literal quote_ident encode decode md5 sha256 convert trunc random ' +
    'now localtime localtimestamp extract age date_trunc date_part make_date make_interval make_timestamp to_char to_date to_timestamp to_number ' +
    'json_each json_build_object json_build_array json_agg json_object_agg json_array_length json_array_elements json_array_elements_text ' +
    'jsonb_extract_path_text jsonb_build_object jsonb_build_array jsonb_agg jsonb_object_agg jsonb_array_length jsonb_array_elements ' +
    'jsonb_array_elements_text jsonb_set jsonb_typeof to_json to_jsonb row_to_json unnest array_length array_position array_to_string string_to_array ' +
    'cardinality generate_series gen_random_uuid version pg_sleep'),
  sqlite: words(
    'filter materialized glob regexp match ' +
    'group_concat string_agg total iif if ifnull typeof instr char hex unhex soundex quote trunc log2 random ' +
    'julianday unixepoch strftime datetime timediff json json_extract json_type json_valid json_array json_quote json_set json_insert json_remove json_patch ' +
    'json_group_array json_group_object json_each json_tree json_array_length jsonb_set')
}

/** What stands ahead of each bracket: a dot that belongs to it, and a word, from its beginning on, or the end of a quoted name. */
const BEFORE_BRACKETS = /(\.\s*)?((?<![\p{L}\p{N}_$])[\p{L}\p{N}_$]+|[`"\]])\s*\(/gu

/**
 * Whether a statement calls no function but harmless ones. One with a schema ahead of it, or in quotes, is somebody's own, whatever its name.
 * @param dialect undefined where it is not known
 *
 * @example
 * callsOnlyHarmless('select count(*) from `user`', 'mysql')   // true
 * callsOnlyHarmless('select set_config(...)', 'postgresql')   // false
 */
export function callsOnlyHarmless (sql: string, dialect: Dialect | undefined): boolean {
  const builtIn = dialect && BUILT_IN[dialect]
  for (const [, dot, name = ''] of sql.matchAll(BEFORE_BRACKETS)) {
    const word = name.toLowerCase()
    if (dot !== undefined || !(EVERYWHERE.has(word) || builtIn?.has(word) === true)) return false
  }
  return true
}

function words (text: string): ReadonlySet<string> {
  return new Set(text.split(' '))
}
