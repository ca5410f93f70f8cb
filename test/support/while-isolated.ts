import { isolate } from '../../testing.ts'
import { onEachDatabase } from './on-each-database.ts'

/** Runs a test on every database that there is, while the application is isolated. */
export const whileIsolated: typeof onEachDatabase = (name, options, run) => {
  onEachDatabase(name, options, async (t, stage) => {
    const isolation = await isolate(stage.app)
    await run(t, stage).finally(isolation.release)
  })
}
