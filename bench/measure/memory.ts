import { FLOOR, type SubjectName } from '../contenders/all.ts'
import { hold } from '../load/holder.ts'
import { send } from '../load/send.ts'
import { ServerProcess } from '../server-process.ts'
import type { Size } from '../sizes.ts'
import { workloads } from '../workloads.ts'

/** What one contender keeps in the JavaScript heap, in bytes. */
export interface Memory {
  readonly contender: SubjectName
  /** For each request that is kept open, with its socket, request and reply. */
  readonly perOpenRequest: number
  /** The same with a session that was used, where there is a database. */
  readonly perOpenSession: number | undefined
  /** After few and after many requests that use no database. */
  readonly afterFew: number
  readonly afterMany: number
  /** After few and after many inserts, half of all clients going away, where there is a database. */
  readonly afterFewLeaving: number | undefined
  readonly afterManyLeaving: number | undefined
}

/** How many requests the load remembers at a time. */
const PORTION = 50_000

/** Each on SQLite in memory, in a process of its own. */
export async function measureMemory (contender: SubjectName, { openScopes, heapAfter: [few, many] }: Size): Promise<Memory> {
  const hasDatabase = contender !== 'bare' && contender !== FLOOR
  const server = await ServerProcess.start(contender, 'sqlite', undefined)
  try {
    const perOpenRequest = await heldBytes(server, '/held', openScopes)
    const perOpenSession = hasDatabase ? await heldBytes(server, '/held-with-session', openScopes) : undefined
    const [afterFew, afterMany] = await heapAfter(server, 'static', few, many)
    // A connection for each: the machine has no more ports for longer.
    const [afterFewLeaving, afterManyLeaving] = hasDatabase ? await heapAfter(server, 'leaving', Math.ceil(few / 10), Math.ceil(many / 10)) : []
    return { contender, perOpenRequest, perOpenSession, afterFew, afterMany, afterFewLeaving, afterManyLeaving }
  } finally {
    await server.stop()
  }
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

async function heapAfter (server: ServerProcess, name: string, few: number, many: number): Promise<[number, number]> {
  const workload = workloads.find(workload => workload.name === name)
  if (workload === undefined) throw new Error(`there is no workload "${name}"`)
  const url = await server.ask('address')
  const sendSome = async (requests: number) => await send(url, { workload, connections: Math.min(50, requests), requests })
  await sendSome(few)
  const afterFew = await server.ask('heap')
  for (let left = many - few; left > 0; left -= PORTION) await sendSome(Math.min(left, PORTION))
  return [afterFew, await server.ask('heap')]
}
