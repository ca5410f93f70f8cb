import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** What happens to a COMMIT on its way; the first never reaches the server, the second has been carried out. */
export type CommitLoss = 'before it arrives' | 'after its answer' | 'killed'

/** A packet that holds `commit`: its length, its sequence number, the command COM_QUERY, the text. */
const COMMIT = Buffer.from([7, 0, 0, 0, 3, ...Buffer.from('commit')])

/**
 * Stands between the application and its MySQL server, on 127.0.0.1, and does to the connection what networks do. It knows so much of
 * MySQL's protocol as it takes to recognise a COMMIT and the id of a connection.
 */
export class Proxy {
  readonly #server: Server
  readonly #target: number
  readonly #links = new Set<Link>()
  readonly #kill: (connection: number) => Promise<void>
  #isRefusing = false
  #flow: Promise<void> = Promise.resolve()
  #latency = 0
  #armed: { loss: CommitLoss, met: () => void } | undefined

  private constructor (server: Server, target: number, kill: (connection: number) => Promise<void>) {
    this.#server = server
    this.#target = target
    this.#kill = kill
    server.on('connection', socket => this.#accept(socket))
  }

  /**
   * @param target port of the server
   * @param kill tells the server to kill one of its connections
   */
  static async open (target: number, kill: (connection: number) => Promise<void>): Promise<Proxy> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new Proxy(server, target, kill)
  }

  get port (): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Breaks every connection off, and refuses new ones while `meanwhile` runs. */
  async cut (meanwhile: () => Promise<void>): Promise<void> {
    this.#isRefusing = true
    for (const link of this.#links) link.destroy()
    await meanwhile()
    this.#isRefusing = false
  }

  /** Lets nothing through while `meanwhile` runs; it arrives afterwards. */
  async hold (meanwhile: () => Promise<void>): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#flow = promise
    await meanwhile()
    resolve()
  }

  /** Lets everything arrive `latency` milliseconds late while `meanwhile` runs. */
  async delay (latency: number, meanwhile: () => Promise<void>): Promise<void> {
    this.#latency = latency
    await meanwhile()
    this.#latency = 0
  }

  /** Has the next COMMIT of any connection lost. Resolves when it was, to false if none came within `patience` milliseconds. */
  async loseNextCommit (loss: CommitLoss, patience: number): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>()
    this.#armed = { loss, met: () => resolve(true) }
    const timer = setTimeout(() => resolve(false), patience)
    const isMet = await promise
    clearTimeout(timer)
    this.#armed = undefined
    return isMet
  }

  async close (): Promise<void> {
    for (const link of this.#links) link.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #accept (application: Socket): void {
    const server = connect(this.#target, '127.0.0.1')
    const link = new Link(application, server)
    this.#links.add(link)
    for (const socket of [application, server]) {
      socket.setNoDelay(true)
      socket.on('error', () => {})
      socket.on('close', () => {
        link.destroy()
        this.#links.delete(link)
      })
    }
    if (this.#isRefusing) link.destroy()
    application.on('data', chunk => link.toServer(() => this.#pass(chunk, link)))
    server.on('data', chunk => link.toApplication(() => this.#answer(chunk, link)))
  }

  async #pass (chunk: Buffer, link: Link): Promise<void> {
    await this.#travel()
    const armed = COMMIT.equals(chunk) ? this.#armed : undefined
    if (armed === undefined) {
      link.server.write(chunk)
      return
    }
    this.#armed = undefined
    await this.#lose(armed.loss, chunk, link)
    armed.met()
  }

  async #lose (loss: CommitLoss, chunk: Buffer, link: Link): Promise<void> {
    switch (loss) {
      case 'before it arrives':
        link.destroy()
        break
      case 'after its answer':
        link.isLastAnswer = true
        link.server.write(chunk)
        break
      case 'killed':
        link.server.write(chunk)
        await this.#kill(link.connection)
        break
    }
  }

  async #answer (chunk: Buffer, link: Link): Promise<void> {
    await this.#travel()
    link.greet(chunk)
    if (link.isLastAnswer) link.destroy()
    else link.application.write(chunk)
  }

  async #travel (): Promise<void> {
    await this.#flow
    if (this.#latency > 0) await sleep(this.#latency)
  }
}

/** One connection through the proxy. What goes one way arrives in order. */
class Link {
  readonly application: Socket
  readonly server: Socket
  /** The server's id for the connection, from its greeting. */
  connection = 0
  /** Whether the next answer is lost, and the connection with it. */
  isLastAnswer = false
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

  /** The first packet: length, sequence number, protocol version, server version up to a zero byte, connection id. */
  greet (chunk: Buffer): void {
    if (this.connection === 0) this.connection = chunk.readUInt32LE(chunk.indexOf(0, 5) + 1)
  }

  destroy (): void {
    this.application.destroy()
    this.server.destroy()
  }
}
