import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Link } from './link.ts'
import type { Forgery, Protocol, Said } from './protocol.ts'

/** What happens to a COMMIT on its way: the connection is lost before the server has it, after it was carried out, or just then; it is carried out and never answered; or it is answered otherwise. */
export type CommitLoss = 'before it arrives' | 'after its answer' | 'killed' | 'never answered' | Forgery

/** How a COMMIT is answered in the place of the server, and what the server is sent instead. */
const FORGERIES: Record<Forgery, { readonly sent: 'commit' | 'rollback', readonly answer: 'unclear' | 'conflict' }> = {
  'carried out, unclear answer': { sent: 'commit', answer: 'unclear' },
  'rolled back, unclear answer': { sent: 'rollback', answer: 'unclear' },
  refused: { sent: 'rollback', answer: 'conflict' }
}

/**
 * Stands between the application and its server, on 127.0.0.1, and does to the connection what networks do. It knows so much of
 * the protocol as it takes to recognise a COMMIT, the id of a connection, and some errors.
 */
export class Proxy {
  readonly #server: Server
  readonly #target: number
  readonly #protocol: Protocol
  readonly #links = new Set<Link>()
  readonly #errors = new Map<Said, number>()
  readonly #kill: (connection: number) => Promise<void>
  #isRefusing = false
  #flow: Promise<void> = Promise.resolve()
  #latency = 0
  #armed: { loss: CommitLoss, mark: string, met: () => void } | undefined

  private constructor (server: Server, target: number, protocol: Protocol, kill: (connection: number) => Promise<void>) {
    this.#server = server
    this.#target = target
    this.#protocol = protocol
    this.#kill = kill
    server.on('connection', socket => this.#accept(socket))
  }

  /**
   * @param target port of the server
   * @param kill tells the server to kill one of its connections
   */
  static async open (target: number, protocol: Protocol, kill: (connection: number) => Promise<void>): Promise<Proxy> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new Proxy(server, target, protocol, kill)
  }

  get port (): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** How often the server has said this so far. */
  count (error: Said): number {
    return this.#errors.get(error) ?? 0
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

  /**
   * Lets nothing through on the connections that there are while `meanwhile` runs, and tells neither end: as when the power is cut or a
   * firewall has forgotten them. Then they break off.
   * @param when at once, or each as soon as it is out of its transaction, and in the pool again
   */
  async strand (when: 'at once' | 'when idle', meanwhile: () => Promise<void>): Promise<void> {
    for (const link of this.#links) link.strand(when)
    await meanwhile()
    this.breakOff()
  }

  /** The connections that lead nowhere break off. */
  breakOff (): void {
    for (const link of this.#links) {
      if (link.isStranded) this.#links.delete(link)
      link.unstrand()
    }
  }

  /**
   * Has the next COMMIT of any connection lost on which `mark` was sent in its transaction, or when it logged in. Resolves when it was, to false
   * if none came within `patience` milliseconds.
   */
  async loseNextCommit (loss: CommitLoss, mark: string, patience: number): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>()
    this.#armed = { loss, mark, met: () => resolve(true) }
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
    const link = new Link(this.#protocol, application, server)
    this.#links.add(link)
    for (const socket of [application, server]) {
      socket.setNoDelay(true)
      socket.on('error', () => {})
    }
    // Of a connection that leads nowhere neither end hears that the other has gone.
    application.on('close', () => { if (!link.isStranded) link.destroy() })
    server.on('close', () => {
      if (link.isStranded) return
      application.destroy()
      this.#links.delete(link)
    })
    if (this.#isRefusing) link.destroy()
    application.on('data', chunk => link.toServer(() => this.#pass(chunk, link)))
    server.on('data', chunk => link.toApplication(() => this.#answer(chunk, link)))
  }

  async #pass (chunk: Buffer, link: Link): Promise<void> {
    await this.#travel()
    link.sent(chunk)
    const armed = this.#protocol.commit.equals(chunk) && this.#armed !== undefined && link.hasSent(this.#armed.mark) ? this.#armed : undefined
    if (armed === undefined) {
      link.write('server', chunk)
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
        link.write('server', chunk)
        break
      case 'killed':
        link.write('server', chunk)
        await this.#kill(link.connection as number)
        break
      case 'never answered':
        link.write('server', chunk)
        link.strand('at once')
        break
      default:
        link.forgedAnswer = this.#protocol[FORGERIES[loss].answer]
        link.write('server', this.#protocol[FORGERIES[loss].sent])
    }
  }

  async #answer (chunk: Buffer, link: Link): Promise<void> {
    await this.#travel()
    const error = this.#protocol.errorIn(chunk)
    if (error !== undefined) this.#add(error)
    if (error === 'deadlock' && link.isEnding) this.#add('conflict at COMMIT')
    const answer = link.forgedAnswer ?? chunk
    link.forgedAnswer = undefined
    if (link.isLastAnswer) link.destroy()
    else link.write('application', answer)
    link.answered(chunk)
  }

  #add (error: Said): void {
    this.#errors.set(error, this.count(error) + 1)
  }

  async #travel (): Promise<void> {
    await this.#flow
    if (this.#latency > 0) await sleep(this.#latency)
  }
}
