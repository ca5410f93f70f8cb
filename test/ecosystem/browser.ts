import type { FastifyInstance, InjectOptions } from 'fastify'

/** A client that keeps its cookies. */
export class Browser {
  readonly #app: FastifyInstance
  readonly cookies: Record<string, string> = {}

  constructor (app: FastifyInstance) {
    this.#app = app
  }

  async ask (method: 'GET' | 'POST', url: string, payload?: object): Promise<{ status: number, body: string }> {
    const options: InjectOptions = { method, url, cookies: this.cookies, ...(payload !== undefined && { payload }) }
    const reply = await this.#app.inject(options)
    for (const { name, value } of reply.cookies) this.cookies[name] = value
    return { status: reply.statusCode, body: reply.body }
  }
}
