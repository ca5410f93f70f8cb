import type { FastifyInstance } from 'fastify'
import type { AddressInfo } from 'node:net'

const HOST = '127.0.0.1'

/** @param text what PORT is set to */
export function portOf (text: string | undefined): number {
  if (!text) return 3000
  const port = Number(text)
  if (/^\d+$/.test(text) && port <= 65535) return port
  throw new Error(`PORT is a number from 0 to 65535, not "${text}"`)
}

/** @returns the address to send requests to */
export async function listen (app: FastifyInstance, port: number): Promise<string> {
  try {
    await app.listen({ host: HOST, port })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    throw new Error(`port ${port} is busy; PORT=0 takes any free one`)
  }
  return `http://${HOST}:${(app.server.address() as AddressInfo).port}`
}
