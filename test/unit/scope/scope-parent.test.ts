import { currentScope } from '../../../lib/scope/registry.ts'
import { onEachDatabase } from '../../support/on-each-database.ts'

onEachDatabase('a scope knows the one that it was opened in, until it is closed', {}, async (t, { app }) => {
  app.get('/', async () => {
    const request = currentScope()
    t.equal(request?.parent, undefined)
    const run = await app.db.run(async () => {
      const run = currentScope()
      t.equal(run?.parent, request)
      await app.db.run(() => t.equal(currentScope()?.parent, run))
      return run
    })
    t.equal(run?.parent, undefined, 'a chain of closed scopes would never be given back')
    return 'ok'
  })
  t.equal((await app.inject('/')).statusCode, 200)
})
