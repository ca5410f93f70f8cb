import { once } from 'node:events'
import { connect } from 'node:net'
import type { Fired, Load } from './fire.ts'

/**
 * Sends a load of which every second request is given up as soon as it was sent: the connection is reset while the server
 * works on it. Every request has a connection of its own.
 * @throws Error when one that waits is not answered with 2xx
 */
export async function leave (url: string, { workload, connections, requests }: Load): Promise<Fired> {
  const latencies: number[] = []
  let sent = 0
  const begun = performance.now()
  async function client (): Promise<void> {
    while (sent < requests) {
      const n = sent++
      const started = performance.now()
      if (n % 2 === 0) await abandon(url, messageOf(url, workload, n))
      else {
        await answered(url, messageOf(url, workload, n))
        latencies.push(performance.now() - started)
      }
    }
  }
  await Promise.all(Array.from({ length: connections }, client))
  return { requests: sent, seconds: (performance.now() - begun) / 1000, latencies }
}

function messageOf (url: string, workload: Load['workload'], n: number): string {
  const { method, path, body = '' } = workload.request(n)
  const head = [`${method} ${path} HTTP/1.1`, `host: ${new URL(url).host}`, 'content-type: application/json', `content-length: ${body.length}`, 'connection: close']
  return `${head.join('\r\n')}\r\n\r\n${body}`
}

async function abandon (url: string, message: string): Promise<void> {
  const socket = await open(url)
  await new Promise(resolve => socket.write(message, resolve))
  socket.resetAndDestroy()
  await once(socket, 'close')
}

async function answered (url: string, message: string): Promise<void> {
  const socket = await open(url)
  socket.write(message)
  let answer = ''
  for await (const chunk of socket) answer += String(chunk)
  if (!answer.startsWith('HTTP/1.1 2')) throw new Error(`answered with ${answer.slice(0, 200)}`)
}

async function open (url: string) {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  await once(socket, 'connect')
  return socket.on('error', () => {})
}
