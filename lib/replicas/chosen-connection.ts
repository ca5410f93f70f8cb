import type { ConnectionSource } from '../transaction/connection-source.ts'
import type { SqlConnection } from '../transaction/sql-connection.ts'
import type { Replica } from './replica.ts'

/** One session's replica, from its first statement on. The primary, which is never behind, takes the place of one that is lost meanwhile. */
export class ChosenConnection implements ConnectionSource {
  readonly #primary: SqlConnection
  readonly #findReplica: () => Promise<Replica | undefined>
  #replica: Replica | undefined
  /** Null once it is done. */
  #choosing: Promise<void> | null | undefined

  /** @param findReplica never rejects, and gives none where there is none that may be used */
  constructor (primary: SqlConnection, findReplica: () => Promise<Replica | undefined>) {
    this.#primary = primary
    this.#findReplica = findReplica
  }

  get connection (): SqlConnection {
    return this.#replica?.connection ?? this.#primary
  }

  choose (): Promise<void> | undefined {
    if (this.#choosing === undefined) this.#choosing = this.#choose()
    return this.#choosing ?? undefined
  }

  readonly ledNowhere = (err: Error): void => {
    this.#replica?.leaveOut({ err })
    this.#replica = undefined
  }

  async #choose (): Promise<void> {
    this.#replica = await this.#findReplica()
    this.#choosing = null
  }
}

/** For sessions that may write, where MikroORM is not to choose for what they read. */
export function alwaysThe (primary: SqlConnection): ConnectionSource {
  return { connection: primary, choose: () => undefined }
}
