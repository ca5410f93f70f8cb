import type { Driver } from './contracts.ts'

/** MySQL and MariaDB, by way of mysql2. */
export const MYSQL: Driver = {
  adapters: ['MysqlAdapter'],
  isEmbedded: false,
  // After a lock wait timeout InnoDB rolls back one statement, or, as it may be set up, everything.
  rollsBackWith: new Set(['deadlock', 'lock timeout', 'serialization', 'connection']),
  physical: () => undefined,
  nativeStatus: () => undefined,
  failsTransaction: () => false
}
