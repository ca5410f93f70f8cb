/**
 * The functions that a plain read may call, of all databases: those that read their arguments, and the clock, and nothing else. A function
 * that is not here may write, lock or commit: databases let a SELECT call those that users have made, and some of their own.
 */
const HARMLESS = new Set((
  // Aggregates and windows
  'count sum min max avg total group_concat string_agg array_agg bool_and bool_or bit_and bit_or every any_value stddev stddev_pop stddev_samp ' +
  'variance var_pop var_samp row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value ' +
  // Conditions
  'coalesce ifnull nullif isnull if iif greatest least exists cast convert typeof ' +
  // Texts
  'lower upper lcase ucase initcap length char_length character_length octet_length bit_length substr substring substring_index left right trim ' +
  'ltrim rtrim btrim lpad rpad concat concat_ws reverse repeat space instr position locate strpos ascii char chr ord hex unhex format field elt ' +
  'find_in_set strcmp translate split_part starts_with regexp_like regexp_instr regexp_substr regexp_replace regexp_matches soundex quote ' +
  'quote_literal quote_ident to_base64 from_base64 encode decode md5 sha sha1 sha2 sha256 crc32 ' +
  // Numbers
  'abs sign ceil ceiling floor round trunc mod power pow sqrt exp ln log log2 log10 pi radians degrees sin cos tan asin acos atan atan2 rand random ' +
  // Times
  'now current_timestamp current_date current_time localtime localtimestamp curdate curtime sysdate utc_timestamp utc_date utc_time date time ' +
  'datetime timestamp julianday unixepoch strftime year month day dayname dayofmonth dayofweek dayofyear monthname hour minute second microsecond ' +
  'week weekday weekofyear yearweek quarter last_day extract date_format date_trunc date_part date_add date_sub adddate subdate addtime subtime ' +
  'datediff timediff timestampdiff timestampadd from_unixtime unix_timestamp str_to_date to_days from_days time_format maketime makedate make_date ' +
  'make_interval make_timestamp to_char to_date to_timestamp to_number age convert_tz ' +
  // JSON, arrays, types of geometry
  'json json_extract json_unquote json_value json_query json_contains json_contains_path json_overlaps json_length json_keys json_type json_valid ' +
  'json_object json_array json_arrayagg json_objectagg json_group_array json_group_object json_each json_tree json_table json_search json_quote ' +
  'json_set json_insert json_remove json_patch json_merge_patch json_build_object json_build_array json_agg json_object_agg json_array_length ' +
  'json_array_elements json_array_elements_text jsonb_extract_path_text jsonb_build_object jsonb_build_array jsonb_agg jsonb_object_agg ' +
  'jsonb_array_length jsonb_array_elements jsonb_array_elements_text jsonb_set jsonb_typeof to_json to_jsonb row_to_json unnest array_length ' +
  'array_position array_to_string string_to_array cardinality generate_series st_asbinary st_astext st_distance st_distance_sphere st_contains ' +
  'st_within st_geomfromtext st_srid st_x st_y inet_aton inet_ntoa inet6_aton inet6_ntoa uuid uuid_to_bin bin_to_uuid gen_random_uuid ' +
  'match against version database schema sleep pg_sleep benchmark'
).split(' '))

/** Words that can stand ahead of a bracket without calling anything: of the grammar, and types with a length. */
const WORDS = new Set((
  'select distinct from join lateral on using where and or not in any some all union except intersect as materialized by having when then else case between ' +
  'like ilike rlike regexp glob is values value with over partition order group filter within limit offset array row rows range index key explain interval ' +
  'decimal numeric dec float double precision real char character varchar varying nchar nvarchar binary varbinary bit int integer bigint smallint tinyint mediumint'
).split(' '))

/** What stands ahead of each bracket: a dot that belongs to it, and a word, from its beginning on, or the end of a quoted name. */
const BEFORE_BRACKETS = /(\.\s*)?((?<![\p{L}\p{N}_$])[\p{L}\p{N}_$]+|[`"\]])\s*\(/gu

/**
 * Whether a statement calls no function but harmless ones. One with a schema ahead of it, or in quotes, is somebody's own, whatever its name.
 *
 * @example
 * callsOnlyHarmless('select count(*) from `user`')   // true
 * callsOnlyHarmless('select set_config(...)')        // false
 */
export function callsOnlyHarmless (sql: string): boolean {
  for (const [, dot, name = ''] of sql.matchAll(BEFORE_BRACKETS)) {
    const word = name.toLowerCase()
    if (!WORDS.has(word) && (dot !== undefined || !HARMLESS.has(word))) return false
  }
  return true
}
