/** What a statement is for, as far as faults care. */
export type Kind = 'begin' | 'compound' | 'statement' | 'commit' | 'rollback' | 'question'

export function kindOf (sql: string): Kind {
  if (/^commit$/i.test(sql)) return 'commit'
  if (/^rollback$/i.test(sql)) return 'rollback'
  if (/^begin not atomic/i.test(sql)) return 'compound'
  if (/^(?:begin|start|set statement)\b/i.test(sql)) return 'begin'
  return /connection_id|processlist|@@|^kill/i.test(sql) ? 'question' : 'statement'
}

export function writes (sql: string): boolean {
  return /\b(?:insert into|update) `/i.test(sql)
}
