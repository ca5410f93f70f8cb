import { setTimeout as sleep } from 'node:timers/promises'

/** What one order was answered with. */
export interface Told {
  readonly key: string
  /** Its status and code; undefined if no answer came. */
  readonly answer: string | undefined
}

/** How long who got an error waits, in milliseconds. */
const BACK_OFF = 50

/** How long one waits for an answer. */
const PATIENCE = 30_000

/** Sends orders, one after the other each of several clients, and writes down what each was told. */
export class Client {
  readonly told: Told[] = []
  readonly #url: string
  #process: number | undefined
  #sent = 0

  constructor (url: string) {
    this.#url = url
  }

  /** One of the processes that answer. */
  get process (): number {
    if (this.#process === undefined) throw new Error('no process has answered')
    return this.#process
  }

  /** @param over ends it: whoever has sent an order waits for its answer */
  async run (clients: number, over: AbortSignal): Promise<void> {
    await Promise.all(Array.from({ length: clients }, async () => {
      while (!over.aborted) if (!await this.#order()) await sleep(BACK_OFF)
    }))
  }

  /** @returns whether it went well */
  async #order (): Promise<boolean> {
    const key = `order ${++this.#sent}`
    try {
      const response = await fetch(`${this.#url}/orders`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ key, article: 1 }), signal: AbortSignal.timeout(PATIENCE) })
      const { code } = await response.json() as { code?: string }
      this.#process = Number(response.headers.get('x-process'))
      this.told.push({ key, answer: code === undefined ? String(response.status) : `${response.status} ${code}` })
      return response.ok
    } catch {
      this.told.push({ key, answer: undefined })
      return false
    }
  }
}
