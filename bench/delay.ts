/**
 * Stands between a contender and its database, and holds back what the server answers: `node bench/delay.ts URL`, whose parent says how many
 * milliseconds. A process of its own, so that nothing else keeps it from being on time.
 */
import type { Socket } from 'node:net'
import { startRelay } from '../test/support/relay.ts'

/** Timers of Node count whole milliseconds. A thread can wait for less, and looks at its sockets in between: by about so much it is late then. */
const TICK = 0.05
const LATENESS = 0.1
const nothing = new Int32Array(new SharedArrayBuffer(4))

const heldBack: { readonly client: Socket, readonly data: Buffer, readonly due: number }[] = []
let delay = 0

const relay = await startRelay(String(process.argv[2]), (client, upstream) => {
  client.setNoDelay().on('data', data => upstream.write(data))
  upstream.setNoDelay().on('data', data => {
    if (delay === 0) client.write(data)
    else if (heldBack.push({ client, data, due: performance.now() + delay - LATENESS }) === 1) setImmediate(passOn)
  })
})

function passOn (): void {
  const now = performance.now()
  while (heldBack[0] !== undefined && heldBack[0].due <= now) {
    const { client, data } = heldBack.shift() as typeof heldBack[0]
    client.write(data)
  }
  if (heldBack[0] === undefined) return
  Atomics.wait(nothing, 0, 0, Math.min(TICK, heldBack[0].due - now))
  setImmediate(passOn)
}

process.on('message', (milliseconds: number) => {
  delay = milliseconds
  process.send?.(delay)
})
process.on('disconnect', () => process.exit())
process.send?.(relay.url)
