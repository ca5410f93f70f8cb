import type { Socket } from 'node:net'
import type { Protocol } from './protocol.ts'

/** One connection through the proxy. What goes one way arrives in order. */
export class Link {
  readonly application: Socket
  readonly server: Socket
  /** The server's id for the connection, once it has told it. */
  connection: number | undefined
  /** Whether the next answer is lost, and the connection with it. */
  isLastAnswer = false
  /** What is told in the place of the next answer. */
  forgedAnswer: Buffer | undefined
  /** Whether nothing comes through, and nobody is told. */
  isStranded = false
  readonly #protocol: Protocol
  #isToBeStranded = false
  /** The first packet from the application, which names its database. */
  #login: Buffer | undefined
  /** What was sent in the transaction since. */
  #sent: Buffer[] = []
  #transaction: 'open' | 'ending' | 'over' = 'over'
  #outward: Promise<void> = Promise.resolve()
  #homeward: Promise<void> = Promise.resolve()

  constructor (protocol: Protocol, application: Socket, server: Socket) {
    this.#protocol = protocol
    this.application = application
    this.server = server
  }

  /** Whether what comes next answers its COMMIT or ROLLBACK. */
  get isEnding (): boolean {
    return this.#transaction === 'ending'
  }

  toServer (pass: () => Promise<void>): void {
    this.#outward = this.#outward.then(pass).catch(() => this.destroy())
  }

  toApplication (pass: () => Promise<void>): void {
    this.#homeward = this.#homeward.then(pass).catch(() => this.destroy())
  }

  /** A packet is on its way to the server. */
  sent (chunk: Buffer): void {
    this.#login ??= chunk
    if (this.#transaction === 'over') this.#sent = []
    this.#sent.push(chunk)
    this.#transaction = this.#protocol.commit.equals(chunk) || this.#protocol.rollback.equals(chunk) ? 'ending' : 'open'
  }

  /** A packet has come from the server. */
  answered (chunk: Buffer): void {
    this.connection ??= this.#protocol.connectionIn(chunk)
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
