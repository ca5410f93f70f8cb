import type { ErrorKind } from './contracts.ts'

/** The kinds of errors, by the codes that mean them. */
export function kindsByCode (codes: Partial<Record<ErrorKind, readonly (string | number)[]>>): ReadonlyMap<unknown, ErrorKind> {
  return new Map(Object.entries(codes).flatMap(([kind, codes]) => codes.map(code => [code, kind as ErrorKind] as const)))
}

/** SQLSTATEs: those of the SQL standard, and PostgreSQL's, which others leave alone. */
const STATES = kindsByCode({
  unique: ['23505', '23P01'],
  'foreign key': ['23503', '23001'],
  check: ['23514'],
  'not null': ['23502'],
  'invalid value': ['22001', '22003', '22007', '22008', '22P02', '22P03', '22P05', '22021'],
  deadlock: ['40P01'],
  'lock timeout': ['55P03'],
  serialization: ['40001'],
  interrupted: ['57014'],
  'failed transaction': ['25P02'],
  // Too many connections, shut down, crashed, not ready, idle for too long (the session, then the transaction), a transaction that took too long.
  connection: ['53300', '57P01', '57P02', '57P03', '57P05', '25P03', '25P04'],
  'read only': ['25006'],
  access: ['28000', '28P01', '3D000'],
  privilege: ['42501']
})

/** Class 08 is "connection exception", of which 08007 is "transaction resolution unknown". */
const CONNECTION_STATE = /^08(?!007)...$/

export function kindOfState (state: unknown): ErrorKind | undefined {
  return STATES.get(state) ?? (CONNECTION_STATE.test(String(state)) ? 'connection' : undefined)
}

/** "Transaction rollback", in all databases, but "statement completion unknown". */
const ROLLBACK_STATE = /^40(?!003)[0-9A-Z]{3}$/

export function isRollbackState (state: unknown): boolean {
  return ROLLBACK_STATE.test(String(state))
}
