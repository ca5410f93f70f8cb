import type { Plugin } from 'graphql-yoga'
import { db } from '../../../plugin.ts'

/** An answer with errors leaves nothing in the database, although its status is 200. */
export const rollbackOnErrors: Plugin = {
  onExecute: () => ({
    onExecuteDone ({ result }) {
      if ('errors' in result && result.errors !== undefined) db.setRollbackOnly()
    }
  })
}
