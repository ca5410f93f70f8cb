/** node examples/app/server.ts */
import { db } from '../../plugin.ts'
import { buildApp } from './app.ts'
import { database } from './database.ts'
import { User } from './entities.ts'
import { removeAuthorsWithoutBooks } from './jobs.ts'
import { addUser } from './login.ts'

const { PORT = 3000 } = process.env

const app = await buildApp({ orm: database, logger: true })
const address = await app.listen({ host: '127.0.0.1', port: Number(PORT) })

if (await db.run(session => session.count(User)) === 0) {
  console.log(`curl ${address}/books -H 'authorization: Bearer ${await addUser('admin')}'`)
}

function cleanUp () {
  removeAuthorsWithoutBooks().catch(console.error)
}
cleanUp()
const hourly = setInterval(cleanUp, 60 * 60 * 1000)

// Requests in flight are answered, then the database is closed.
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    clearInterval(hourly)
    void app.close()
  })
}
