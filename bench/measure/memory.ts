import type { ContenderName } from '../contenders/all.ts'
import { IN_MEMORY } from '../database.ts'
import { hold } from '../load/holder.ts'
import { send } from '../load/send.ts'
import { ServerProcess } from '../server-process.ts'
import type { Size } from '../sizes.ts'
import { INSERT, STATIC, type Workload } from '../workloads.ts'

/** What one contender keeps in the JavaScript heap, in bytes. */
export interface Memory extends OpenRequests {
  /** After few and after many requests that use no database. */
  readonly afterFew: number
  readonly afterMany: number
  /** After few and after many inserts, half of all clients going away, where there is a database. */
  readonly afterFewLeaving: number | undefined
  readonly afterManyLeaving: number | undefined
}

/** What is kept for each request that is open, in bytes. */
export interface OpenRequests {
  readonly contender: ContenderName
  /** With its socket, request and reply. */
  readonly perOpenRequest: number
  /** The same with a session that was used, where there is a database. */
  readonly perOpenSession: number | undefined
}

/** Each on SQLite in memory, in a process of its own. */
export async function measureMemory (contender: ContenderName, { openScopes, heapAfter: [few, many] }: Size): Promise<Memory> {
  const server = await ServerProcess.start(contender, IN_MEMORY)
  try {
    const open = await openRequests(server, openScopes)
    const [afterFew, afterMany] = await heapAfter(server, STATIC, few, many)
    // A connection for each: the machine has no more ports for longer.
    const leaving = { ...INSERT, leaves: true }
    const [afterFewLeaving, afterManyLeaving] = contender === 'bare' ? [] : await heapAfter(server, leaving, Math.ceil(few / 10), Math.ceil(many / 10))
    return { ...open, afterFew, afterMany, afterFewLeaving, afterManyLeaving }
  } finally {
    await server.stop()
  }
}

/** The open requests alone. */
export async function measureOpenRequests (contender: ContenderName, count: number): Promise<OpenRequests> {
  const server = await ServerProcess.start(contender, IN_MEMORY)
  try {
    return await openRequests(server, count)
  } finally {
    await server.stop()
  }
}

async function openRequests (server: ServerProcess<ContenderName>, count: number): Promise<OpenRequests> {
  const perOpenRequest = await heldBytes(server, '/held', count)
  const perOpenSession = server.name === 'bare' ? undefined : await heldBytes(server, '/held-with-session', count)
  return { contender: server.name, perOpenRequest, perOpenSession }
}

async function heldBytes (server: ServerProcess, path: string, count: number): Promise<number> {
  // What is made once is not counted.
  await (await hold(server, path, Math.ceil(count / 10)))()
  const before = await server.ask('heap')
  const release = await hold(server, path, count)
  const during = await server.ask('heap')
  await release()
  return (during - before) / count
}

async function heapAfter (server: ServerProcess, workload: Workload, few: number, many: number): Promise<[number, number]> {
  const url = await server.ask('address')
  const sendSome = async (requests: number) => await send(url, { workload, connections: Math.min(50, requests), requests })
  await sendSome(few)
  const afterFew = await server.ask('heap')
  await sendSome(many - few)
  return [afterFew, await server.ask('heap')]
}
