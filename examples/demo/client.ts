import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'

/** The clients of the play. Each request has a socket of its own. */
export class Client {
  readonly #address: string
  readonly #stop: AbortSignal

  /** @param stop makes every client leave */
  constructor (address: string, stop: AbortSignal) {
    this.#address = address
    this.#stop = stop
  }

  /** Sends the request of this name and waits for the answer. */
  async send (name: string): Promise<void> {
    await this.#post(name, this.#stop)
  }

  /** Sends the request of this name, and goes away without the answer as soon as `moment` has come. */
  async sendAndLeave (name: string, moment: Promise<void>): Promise<void> {
    const leaving = new AbortController()
    const left = this.#post(name, AbortSignal.any([leaving.signal, this.#stop])).catch(() => undefined)
    await moment
    leaving.abort()
    await left
  }

  async #post (name: string, signal: AbortSignal): Promise<void> {
    const headers = { 'x-request-id': name }
    const sent = request(`${this.#address}/play/${name}`, { method: 'POST', headers, signal, agent: false }).end()
    const [response] = await once(sent, 'response') as [IncomingMessage]
    await once(response.resume(), 'end')
  }
}
