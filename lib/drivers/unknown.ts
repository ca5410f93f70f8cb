import type { Driver } from './contracts.ts'

/** A database that nothing is known of: whatever may be is taken for what is. */
export const UNKNOWN: Driver = {
  adapters: [],
  isEmbedded: false,
  rollsBackWith: new Set(['deadlock', 'lock timeout', 'serialization', 'connection']),
  physical: () => undefined,
  nativeStatus: () => undefined,
  failsTransaction: () => false
}
