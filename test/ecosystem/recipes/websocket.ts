import type { FastifyInstance } from 'fastify'
import { db } from '../../../plugin.ts'
import { ItemSchema as Item } from '../../support/entities.ts'

export default async function chat (app: FastifyInstance): Promise<void> {
  app.get('/chat', { websocket: true }, socket => {
    socket.on('message', message => {
      db.run(async session => {
        await session.insert(Item, { label: String(message) })
      }).then(() => { socket.send('kept') }, (error: Error) => {
        app.log.error(error)
        socket.send('failed')
      })
    })
  })
}
