/** What a route is told, as its JSON body. */
export interface Order {
  /** Which counters to change, in this order. */
  readonly counters: readonly number[]
  /** How long to wait in the middle, in milliseconds. */
  readonly pause: number
  /** Whether to fail in the place that the route has for it. */
  readonly fails: boolean
  /** Whether to write what a unique constraint refuses at the end. */
  readonly collides: boolean
  /** Which value there is that cannot be converted: one to be written, or one to be read. */
  readonly unconvertible?: 'in' | 'out'
  /** Makes the upload long. */
  readonly filler: string
  /** How long the body of the reply is to be, where it is a file. */
  readonly bytes: number
}

export const PLAIN_ORDER: Order = { counters: [], pause: 0, fails: false, collides: false, filler: '', bytes: 1_000 }
