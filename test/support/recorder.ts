import { db, type Database } from '../../plugin.ts'

/** Keeps what was done, in its order. Nothing is ever waited for twice: after-work comes in the turn after the outcome. */
export function recorder () {
  const done: string[] = []
  return {
    done,
    /** Registers work for either outcome. */
    await: (name: string, database: Pick<Database, 'afterCommit' | 'afterRollback'> = db) => {
      database.afterCommit(() => { done.push(`${name} committed`) })
      database.afterRollback(() => { done.push(`${name} rolled back`) })
    },
    /** What has been done since the last time. */
    async taken (): Promise<string[]> {
      for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate)
      return done.splice(0)
    }
  }
}
