import type { FastifyInstance } from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'

/** A statement, as the JSON of the inspector has it. */
interface Sent {
  readonly sql: string
  readonly kind: string
  readonly rows?: number
  readonly place?: string
  readonly values?: string[]
  readonly runnable?: string
  readonly repeated?: number
  readonly isExplainable: boolean
}

/** One request or run, as its JSON has it. */
export interface Inspected {
  readonly id: number
  readonly kind: string
  readonly isRunning: boolean
  readonly request?: { readonly url: string }
  readonly statements: number
  readonly leftOut: number
  readonly connections: object[]
  readonly sent: Sent[]
}

/** What `GET /_db/requests.json` gives, the latest first. */
export async function inspectedBy (app: FastifyInstance, query = ''): Promise<Inspected[]> {
  return (await app.inject(`/_db/requests.json${query}`)).json()
}

/** The last one, in full, once it is over. */
export async function lastInspected (app: FastifyInstance, query = ''): Promise<Inspected> {
  for (;;) {
    const [last] = await inspectedBy(app)
    if (last?.isRunning === false) return (await app.inject(`/_db/requests/${last.id}.json${query}`)).json()
    await sleep(5)
  }
}

/** Those that the application has asked for, without what MikroORM asks a server once. */
export function asked ({ sent }: Inspected): { readonly index: number, readonly statement: Sent }[] {
  return sent.map((statement, index) => ({ index, statement })).filter(({ statement: { kind, sql } }) => kind !== 'control' && !sql.startsWith('show'))
}
