import type { MikroORM, Options } from '@mikro-orm/core'

/** A server that can be started: every contender answers the same requests in the same way. */
export interface Contender {
  /** Its database; the bare one has none. */
  readonly orm: MikroORM | undefined
  /** @returns its address */
  listen (): Promise<string>
  close (): Promise<void>
}

export type StartContender = (options: Options) => Promise<Contender>

/** What the routes take. */
export interface ById { Params: { id: string } }
export interface ByName { Body: { name: string } }
