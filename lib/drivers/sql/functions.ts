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

/** What stands ahead of each bracket: a dot that belongs to it, and a word, from its beginning on, or the end of a quoted name. */
const BEFORE_BRACKETS = /(\.\s*)?((?<![\p{L}\p{N}_$])[\p{L}\p{N}_$]+|[`"\]])\s*\(/gu

/**
 * Whether a statement calls no function but harmless ones. One with a schema ahead of it, or in quotes, is somebody's own, whatever its name.
 * @param builtIn those of its database that are harmless, too
 *
 * @example
 * callsOnlyHarmless('select count(*) from `user`', words('now'))   // true
 * callsOnlyHarmless('select set_config(...)', words('now'))        // false
 */
export function callsOnlyHarmless (sql: string, builtIn: ReadonlySet<string>): boolean {
  for (const [, dot, name = ''] of sql.matchAll(BEFORE_BRACKETS)) {
    const word = name.toLowerCase()
    if (dot !== undefined || !(EVERYWHERE.has(word) || builtIn.has(word))) return false
  }
  return true
}

/** A set of words that are separated by spaces. */
export function words (text: string): ReadonlySet<string> {
  return new Set(text.split(' '))
}
