import { tracingChannel } from 'node:diagnostics_channel'
import type { ConnectionMessage, ScopeMessage, StatementMessage, TransactionMessage } from './messages.ts'

// Nothing is made for a message before `hasSubscribers` was asked.

export const STATEMENT = tracingChannel<unknown, StatementMessage>('fastify-scoped-db.statement')
export const TRANSACTION = tracingChannel<unknown, TransactionMessage>('fastify-scoped-db.transaction')
export const CONNECTION = tracingChannel<unknown, ConnectionMessage>('fastify-scoped-db.connection')
export const SCOPE = tracingChannel<unknown, ScopeMessage>('fastify-scoped-db.scope')
