/** As many characters as the conventions allow. */
const LONGEST = 255

/** Which kind of transaction control it is; the name of a savepoint is a new one each time. */
const CONTROL = /^(?:begin|start\s+transaction|set\s+transaction|commit|rollback(?:\s+to)?|savepoint|release|end|save\s+transaction)\b/i

const PART = '"[^"]*"|`[^`]*`|\\[\\w[^\\]]*\\]|[\\p{L}_][\\p{L}\\p{N}_$]*'

/** Names, with what is ahead of them, and what can stand between. */
const TOKEN = new RegExp(`(?:${PART})(?:\\s*\\.\\s*(?:${PART}))*|[(),;?]`, 'gu')

const MARK = /^[(),;?]$/

const OPERATIONS = new Set(['select', 'insert', 'update', 'delete', 'replace', 'merge', 'truncate', 'create', 'alter', 'drop', 'call'])

/** An operation that is not the first word has one of these ahead of it: no `for update`, no `on delete`. */
const AHEAD_OF_OPERATION = new Set(['(', ')', ';', 'explain', 'analyze', 'as'])

const AHEAD_OF_TARGET = new Set(['from', 'join', 'into', 'update', 'table'])

/** Stand between that and the target. */
const SKIPPED = new Set(['only', 'lateral', 'if', 'not', 'exists'])

/** After them no table follows a comma. */
const ENDS_TARGETS = new Set(['(', ')', ';', '?', 'where', 'set', 'order', 'group', 'having', 'limit', 'on', 'using', 'values', 'select', 'returning', 'window', 'union'])

/**
 * What a statement does to which tables, in few words.
 * @param sql without literals and comments
 *
 * @example
 * querySummary('select `u0`.* from `user` as `u0` where `u0`.`id` = ?')  // 'select user'
 * querySummary('insert into log (id) select id from "user"')             // 'insert log select user'
 */
export function querySummary (sql: string): string {
  const [control] = CONTROL.exec(sql) ?? []
  if (control !== undefined) return control.replaceAll(/\s+/g, ' ')
  const words: string[] = []
  let before = ''
  let isTarget = false
  let isList = false
  for (const [word] of sql.matchAll(TOKEN)) {
    const token = word.toLowerCase()
    const isOperation = OPERATIONS.has(token) && (words.length === 0 || token === 'select' || AHEAD_OF_OPERATION.has(before))
    if (isOperation || (before === '' && token !== 'with' && !MARK.test(token))) words.push(word)
    if (AHEAD_OF_TARGET.has(token)) {
      isTarget = isOperation || token !== 'update'
      isList = token === 'from'
    } else if (ENDS_TARGETS.has(token)) isTarget = isList = false
    else if (token === ',') isTarget = isList
    else if (isTarget && !SKIPPED.has(token)) {
      words.push(bare(word))
      isTarget = false
    }
    before = token
  }
  return shortened(words)
}

/** Names are as the application knows them, where they need no quotes. */
function bare (name: string): string {
  return name.replaceAll(/\s*\.\s*/g, '.').replaceAll(/["`[]([\p{L}_][\p{L}\p{N}_$]*)["`\]]/gu, '$1')
}

function shortened (words: string[]): string {
  let summary = ''
  for (const word of words) {
    const next = summary === '' ? word : `${summary} ${word}`
    if (next.length > LONGEST) break
    summary = next
  }
  return summary
}
