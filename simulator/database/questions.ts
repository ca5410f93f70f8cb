import { DatabaseFailure } from './failure.ts'
import type { Node } from './node.ts'
import type { Result } from './packets.ts'
import type { Session } from './session.ts'

const EXISTS: Result = { columns: ['1'], rows: [{ 1: '1' }] }

/** What is asked of the server rather than of a table, and the answer. */
export function questionIn (command: string, session: Session, node: Node): Result | undefined {
  if (command.startsWith('set ')) return {}
  if (command === 'select 1' || command.startsWith('select 1 from information_schema.schemata')) return EXISTS
  if (command === 'select connection_id() as id, version() as version') return { columns: ['id', 'version'], rows: [{ id: String(session.id), version: node.version }] }
  if (command === 'select @@in_transaction as begun') return { columns: ['begun'], rows: [{ begun: session.isInTransaction ? '1' : '0' }] }
  if (command === 'select @@wsrep_on as supported') return { columns: ['supported'], rows: [{ supported: '1' }] }
  if (command.startsWith('show variables')) return { columns: ['Variable_name', 'Value'], rows: [{ Variable_name: 'auto_increment_increment', Value: '1' }] }
  if (command.includes('from information_schema.processlist')) {
    const asked = new Set(command.match(/\d+/g)?.map(Number))
    return { columns: ['id', 'state'], rows: [...node.sessions].filter(({ id }) => asked.has(id)).map(({ id, isWorking }) => ({ id: String(id), state: isWorking ? 'Query' : 'Sleep' })) }
  }
  const [, what, id] = /^kill (query|connection) (\d+)$/.exec(command) ?? []
  return what === undefined ? undefined : kill([...node.sessions].find(session => session.id === Number(id)), what, Number(id))
}

/** Who is connected to another node kills whoever has the same name here, or nobody. */
function kill (session: Session | undefined, what: string, id: number): Result {
  if (session === undefined) throw new DatabaseFailure(1094, 'HY000', `Unknown thread id: ${id}`)
  if (what === 'query') session.kill()
  else session.link.end()
  return {}
}
