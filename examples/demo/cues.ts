/**
 * Lets requests wait for one another, so that they overlap in the same way every time.
 */
export class Cues {
  readonly #cues = new Map<string, PromiseWithResolvers<void>>()
  readonly #stop: AbortSignal

  /** @param stop ends all waiting */
  constructor (stop: AbortSignal) {
    this.#stop = stop
    stop.addEventListener('abort', () => {
      for (const cue of this.#cues.values()) cue.reject(stop.reason)
    })
  }

  give (name: string): void {
    this.#cue(name).resolve()
  }

  async given (name: string): Promise<void> {
    this.#stop.throwIfAborted()
    await this.#cue(name).promise
  }

  #cue (name: string): PromiseWithResolvers<void> {
    let cue = this.#cues.get(name)
    if (cue === undefined) {
      cue = Promise.withResolvers<void>()
      // It may be given up before anybody waits for it.
      cue.promise.catch(() => undefined)
      this.#cues.set(name, cue)
    }
    return cue
  }
}
