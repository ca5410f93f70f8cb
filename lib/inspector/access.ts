import type { FastifyRequest } from 'fastify'
import { BlockList } from 'node:net'
import { InspectorRefusedError } from '../errors/errors.ts'
import type { InspectorSettings } from '../options/inspector-options.ts'

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4')
LOOPBACK.addAddress('::1', 'ipv6')

/** What a proxy adds: whoever it speaks for is somewhere else. */
const OF_PROXIES = /^(?:forwarded|via|x-forwarded-.*|x-real-ip|x-client-ip|true-client-ip|cf-.*)$/

/**
 * Lets nobody see the page but who may.
 * @throws InspectorRefusedError
 */
export function assertAllowed (request: FastifyRequest, { allow }: Pick<InspectorSettings, 'allow'>): void {
  // Nothing of Fastify's is asked here: with `trustProxy` it believes what a client says of itself.
  const { raw: { socket, headers } } = request
  const host = String(headers.host ?? headers[':authority'])
  if (isOfAnotherSite(request, host)) refuse('a page of another site has asked')
  if (allow !== undefined) {
    if (allow(request) !== true) refuse('the function given as "allow" says no')
  } else if (!isLoopback(socket.remoteAddress)) refuse('it is for this machine only')
  else if (Object.keys(headers).some(header => OF_PROXIES.test(header))) refuse('a proxy has asked')
  // A name that somebody else has led to this machine: the browser takes their page for one of the same origin.
  else if (!isLocalName(host)) refuse('it is for names of this machine only')
}

function refuse (why: string): never {
  throw new InspectorRefusedError(why)
}

/** What a browser says of the page that has asked. A link may lead here from anywhere. */
function isOfAnotherSite ({ method, raw: { headers } }: FastifyRequest, host: string): boolean {
  const { origin, 'sec-fetch-site': site = 'none', 'sec-fetch-mode': mode } = headers
  if (origin !== undefined && URL.parse(origin)?.host !== host) return true
  return site !== 'same-origin' && site !== 'none' && !(method === 'GET' && mode === 'navigate')
}

function isLoopback (address: string | undefined): boolean {
  return address !== undefined && LOOPBACK.check(address, address.includes(':') ? 'ipv6' : 'ipv4')
}

function isLocalName (host: string): boolean {
  const name = URL.parse(`http://${host}`)?.hostname ?? ''
  return name === 'localhost' || name.endsWith('.localhost') || isLoopback(name.replaceAll(/^\[|\]$/g, ''))
}
