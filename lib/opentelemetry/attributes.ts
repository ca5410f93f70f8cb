import type { Attributes } from '@opentelemetry/api'
import { inspect } from 'node:util'
import type { DatabaseTarget, StatementMessage } from '../diagnostics/messages.ts'
import type { DriverError } from '../drivers/contracts.ts'
import { causesOf } from '../errors/causes.ts'
import type { Config } from './config.ts'
import { queryOf } from './query.ts'

// The semantic conventions for database clients: https://opentelemetry.io/docs/specs/semconv/db/

const TARGETS = new WeakMap<DatabaseTarget, Attributes>()

/** Where something was sent. */
export function targetAttributes (target: DatabaseTarget): Attributes {
  let attributes = TARGETS.get(target)
  if (attributes === undefined) {
    const { system, namespace, address, port } = target
    attributes = known({ 'db.system.name': system, 'db.namespace': namespace, 'server.address': address, 'server.port': port })
    TARGETS.set(target, attributes)
  }
  return attributes
}

/** What is known of a statement when it is sent, less what makes each one another: for metrics. */
export function summaryAttributes ({ target, sql }: StatementMessage): Attributes {
  return { ...targetAttributes(target), 'db.query.summary': queryOf(sql, target.system).summary }
}

/** The same, and the text of it, as far as it is wanted: for its span. */
export function queryAttributes (message: StatementMessage, { queryText, parameters }: Config): Attributes {
  const attributes = summaryAttributes(message)
  const text = textOf(message, queryText)
  if (text !== undefined) attributes['db.query.text'] = text
  if (parameters) for (const [n, value] of message.parameters.entries()) attributes[`db.query.parameter.${n}`] = shown(value)
  return attributes
}

/** What something has failed with. Never a message: it can hold values. */
export function errorAttributes (error: unknown): Attributes {
  const [first] = causesOf(error)
  const status = statusOf(error)
  const { code, name = '_OTHER' } = Object(first) as { code?: unknown, name?: string }
  return known({ 'db.response.status_code': status, 'error.type': status ?? (code === undefined ? name : String(code)) })
}

function textOf ({ sql, target }: StatementMessage, queryText: Config['queryText']): string | undefined {
  if (queryText === 'none') return undefined
  return queryText === 'raw' ? sql : queryOf(sql, target.system).text
}

function shown (value: unknown): string {
  return typeof value === 'string' ? value : inspect(value)
}

/** What the database says, by its own codes. */
function statusOf (error: unknown): string | undefined {
  for (const { code, errno, sqlState, severity, number, errcode, rawCode } of causesOf(error) as Iterable<DriverError>) {
    const status = typeof sqlState === 'string' ? errno : typeof severity === 'string' ? code : number ?? errcode ?? rawCode ?? (/^SQLITE_/.test(String(code)) ? code : undefined)
    if (status !== undefined) return String(status)
  }
  return undefined
}

function known (attributes: Attributes): Attributes {
  return Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined))
}
