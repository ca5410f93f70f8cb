import type { Socket } from 'node:net'
import { COMMIT, PROTOCOL_VERSION, ROLLBACK } from './packets.ts'

/** One connection through the proxy. What goes one way arrives in order. */
export class Link {
  readonly application: Socket
  readonly server: Socket
  /** The server's id for the connection, from its greeting. */
  connection = 0
  /** Whether the next answer is lost, and the connection with it. */
  isLastAnswer = false
  /** What is told in the place of the next answer. */
  forgedAnswer: Buffer | undefined
  /** Whether nothing comes through, and nobody is told. */
  isStranded = false
  #isToBeStranded = false
  /** The first packet from the application, which names its database. */
  #login: Buffer | undefined
  /** What was sent in the transaction since. */
  #sent: Buffer[] = []
  #transaction: 'open' | 'ending' | 'over' = 'over'
  #outward: Promise<void> = Promise.resolve()
  #homeward: Promise<void> = Promise.resolve()

  constructor (application: Socket, server: Socket) {
    this.application = application
    this.server = server
  }

  toServer (pass: () => Promise<void>): void {
    this.#outward = this.#outward.then(pass).catch(() => this.destroy())
  }

  toApplication (pass: () => Promise<void>): void {
    this.#homeward = this.#homeward.then(pass).catch(() => this.destroy())
  }

  /**
   * The first packet: length, sequence number, protocol version, server version up to a zero byte, connection id. A server that has no
   * place says something else.
   */
  greet (chunk: Buffer): void {
    if (this.connection === 0 && chunk[4] === PROTOCOL_VERSION) this.connection = chunk.readUInt32LE(chunk.indexOf(0, 5) + 1)
  }

  /** A packet is on its way to the server. */
  sent (chunk: Buffer): void {
    this.#login ??= chunk
    if (this.#transaction === 'over') this.#sent = []
    this.#sent.push(chunk)
    this.#transaction = COMMIT.equals(chunk) || ROLLBACK.equals(chunk) ? 'ending' : 'open'
  }

  /** A packet has come from the server. */
  answered (): void {
    if (this.#transaction !== 'ending') return
    this.#transaction = 'over'
    if (this.#isToBeStranded) this.isStranded = true
  }

  /** Whether `text` was in its login, or in a statement of the transaction. */
  hasSent (text: string): boolean {
    return this.#login?.includes(text) === true || this.#sent.some(chunk => chunk.includes(text))
  }

  write (to: 'server' | 'application', chunk: Buffer): void {
    if (!this.isStranded) this[to].write(chunk)
  }

  strand (when: 'at once' | 'when idle'): void {
    this.#isToBeStranded = true
    this.isStranded = when === 'at once' || this.#transaction === 'over'
  }

  unstrand (): void {
    if (this.isStranded) this.destroy()
    this.#isToBeStranded = false
  }

  destroy (): void {
    this.application.destroy()
    this.server.destroy()
  }
}
