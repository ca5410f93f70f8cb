import { Duplex } from 'node:stream'
import { clock } from './clock.ts'

/** What Node tells of a connection that nobody has accepted. */
export function refused (): Error {
  return Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED', errno: -111, syscall: 'connect' })
}

/** What it tells of one that somebody has broken off, or that leads nowhere. */
const LOST = { ECONNRESET: -104, ETIMEDOUT: -110 }

function lost (code: keyof typeof LOST): Error {
  return Object.assign(new Error(`read ${code}`), { code, errno: LOST[code], syscall: 'read' })
}

/** What is at the other end. */
export interface Peer {
  received (chunk: Buffer): void
  /** The connection has ended, whoever has ended it. Is called once. */
  closed (): void
}

/** How long a server keeps a connection of which it hears nothing any more, in milliseconds. */
const KEEP_ALIVE = 4_000

/** How long Linux waits for what it has sent to be acknowledged, and how long until it asks whether somebody is there who has nothing to say, in milliseconds. */
const RETRANSMISSION = 924_600
const IDLE = 7_875_000

/** A connection, in order in both directions; a piece of either can take its time, and take the rest with it. */
export class Link {
  /** The application's end: what its driver takes for a socket. */
  readonly socket: Duplex
  readonly #latency: () => number
  #peer: Peer | undefined
  #isSilent = false
  #isClosed = false
  #outward = 0
  #homeward = 0

  /** @param latency of one message, in milliseconds */
  constructor (latency: () => number) {
    this.#latency = latency
    this.socket = new Duplex({
      read () {},
      write: (chunk: Buffer, _encoding, done) => {
        this.#outward = this.#send(this.#outward, () => this.#peer?.received(chunk))
        if (this.#isSilent) this.#timeOut(RETRANSMISSION)
        done()
      },
      final: done => {
        done()
        this.socket.destroy()
      },
      destroy: (error, done) => {
        done(error)
        if (this.#isSilent) clock.after(KEEP_ALIVE, () => { this.#close() }).unref()
        else this.#send(this.#outward, () => { this.#close() })
      }
    })
  }

  /** Leads somewhere from now on. */
  connect (peer: Peer): void {
    this.#peer = peer
  }

  /** Sends to the application. */
  send (chunk: Buffer): void {
    this.#homeward = this.#send(this.#homeward, () => { if (!this.socket.destroyed) this.socket.push(chunk) })
  }

  /** Ends it when all has come that was sent, as a server does that closes it. */
  end (): void {
    this.#homeward = this.#send(this.#homeward, () => { this.socket.destroy() })
    this.#close()
  }

  /** Breaks it off at once, and tells both. */
  cut (): void {
    this.#close()
    this.socket.destroy(lost('ECONNRESET'))
  }

  /** Nothing comes through any more, and nobody is told; the server finds out in the end. */
  silence (): void {
    if (this.#isSilent) return
    this.#isSilent = true
    clock.after(KEEP_ALIVE, () => { this.#close() }).unref()
    this.#timeOut(IDLE)
  }

  #timeOut (milliseconds: number): void {
    clock.after(milliseconds, () => { this.socket.destroy(lost('ETIMEDOUT')) }).unref()
  }

  #send (last: number, arrive: () => void): number {
    const at = Math.max(last, clock.now + this.#latency())
    clock.after(at - clock.now, () => { if (!this.#isSilent) arrive() })
    return at
  }

  #close (): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#peer?.closed()
  }
}
