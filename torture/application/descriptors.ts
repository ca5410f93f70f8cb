import type { FastifyInstance } from 'fastify'
import { readdir, readlink } from 'node:fs/promises'
import { promisify } from 'node:util'

const FOLDER = '/proc/self/fd'

/** Counts the open files and sockets of this process; of systems without `/proc` it knows nothing. */
export class Descriptors {
  readonly #app: FastifyInstance
  readonly #payload: string
  readonly #own: number

  private constructor (app: FastifyInstance, payload: string, own: number) {
    this.#app = app
    this.#payload = payload
    this.#own = own
  }

  /**
   * To be called before the first request, and before the first connection to a database: these sockets are the process's own.
   * @param payload a file that replies are made of
   */
  static async watch (app: FastifyInstance, payload: string): Promise<Descriptors> {
    return new Descriptors(app, payload, (await open()).filter(isSocket).length)
  }

  /** @param pooled how many connections to databases there are */
  async leftBehind (pooled: number): Promise<string[]> {
    const all = await open()
    const files = all.filter(target => target === this.#payload).length
    const clients = await promisify(this.#app.server.getConnections.bind(this.#app.server))()
    const sockets = all.filter(isSocket).length - this.#own - clients - pooled
    return [
      ...files > 0 ? [`${files} files of replies are open`] : [],
      ...sockets > 0 ? [`${sockets} sockets are open that belong to nobody`] : []
    ]
  }
}

/** What each descriptor leads to. One that is closed meanwhile leads nowhere. */
async function open (): Promise<string[]> {
  const names = await readdir(FOLDER).catch(() => [])
  return await Promise.all(names.map(name => readlink(`${FOLDER}/${name}`).catch(() => '')))
}

function isSocket (target: string): boolean {
  return target.startsWith('socket:')
}
