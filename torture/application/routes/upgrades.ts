import type { FastifyInstance, FastifyReply } from 'fastify'
import type { Socket } from 'node:net'
import { add, insert, type Arrive, type OrderRequest } from './handler.ts'

const SWITCHING = 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: torture\r\n\r\n'

/** Connections that are taken over for long. They stay until the client or the application goes. */
export function addUpgradeRoutes (app: FastifyInstance, arrive: Arrive): void {
  const sockets = new Set<Socket>()
  let isClosing = false
  app.addHook('preClose', async () => {
    isClosing = true
    for (const socket of sockets) socket.destroy()
  })

  function takeOver (reply: FastifyReply): void {
    const { socket } = reply.raw
    reply.hijack()
    if (socket === null || isClosing) {
      socket?.destroy()
      return
    }
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.write(SWITCHING)
  }

  // Commits first, so that who is connected knows that it is in the database.
  app.get('/upgrade', async (request, reply) => {
    add(request, 1)
    await arrive(request as OrderRequest)
    add(request, 2)
    await app.db.commit()
    takeOver(reply)
  })

  // Writes on after it has answered: the end of the handler decides.
  app.get('/take-over', async (request, reply) => {
    await insert(request, 1)
    takeOver(reply)
    await arrive(request as OrderRequest)
    add(request, 2)
  })
}
