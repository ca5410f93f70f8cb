/** Keeps requests open: `node bench/load/hold.ts URL COUNT`, until its parent lets go of it. */
import { once } from 'node:events'
import { connect } from 'node:net'

const [url, count] = process.argv.slice(2)
const { hostname, port, host, pathname } = new URL(String(url))

// Not all at once, or the server's queue of new connections is full.
for (let n = 0; n < Number(count); n++) {
  const socket = connect(Number(port), hostname)
  socket.on('error', () => {})
  await once(socket, 'connect')
  socket.resume().write(`GET ${pathname} HTTP/1.1\r\nhost: ${host}\r\n\r\n`)
}

process.on('disconnect', () => process.exit())
