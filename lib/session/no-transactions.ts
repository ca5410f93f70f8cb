import type { Connection } from '@mikro-orm/core'
import { scopeIs } from '../errors/errors.ts'
import type { PreparedCommit, TransactionSettings } from '../transaction/contracts.ts'
import type { SessionTransactions } from './session-transactions.ts'

const nothing = async () => {}

const NOTHING_TO_COMMIT: PreparedCommit = {
  hasBegun: false,
  hasWaiter: nothing,
  commit: nothing,
  release () {},
  announceDone: () => undefined
}

/** Drivers without Kysely, MongoDB for one: writes go out with the flush, and there is nothing to roll back. */
export class NoTransactions implements SessionTransactions {
  readonly context = undefined
  readonly isAutomatic: boolean
  readonly hasBegun = false
  readonly isBusy = false
  readonly isAtRest = true
  readonly hasWritten = false
  readonly isDoomed = false
  readonly hasRefused = false
  isClosed = false

  constructor ({ mode }: TransactionSettings) {
    this.isAutomatic = mode === 'automatic'
  }

  assertOpen (): void {
    if (this.isClosed) throw scopeIs('closed')
  }

  async begin (): Promise<void> {}
  announceCommit (): undefined {}

  async prepareCommit (): Promise<PreparedCommit> {
    return NOTHING_TO_COMMIT
  }

  async rollback (): Promise<void> {}

  hasEnded (): boolean {
    return false
  }

  doom (): void {}
  end (): undefined {}
  expire (): void {}
  async cancel (): Promise<void> {}

  close (): undefined {
    this.isClosed = true
  }

  guard (connection: Connection): Connection {
    return connection
  }
}
