import { initTRPC } from '@trpc/server'
import { db } from '../../../plugin.ts'

export const t = initTRPC.create({
  // What a procedure has thrown can tell of the database: clients get what is meant for them.
  errorFormatter: ({ shape, error }) => ({
    ...shape,
    message: error.code === 'INTERNAL_SERVER_ERROR' ? 'Internal server error' : shape.message,
    data: { ...shape.data, stack: undefined }
  })
})

/** Each call is a unit of work of its own: alone, in a batch, in a stream, over a socket. What fails is rolled back. */
export const procedure = t.procedure.use(async ({ next }) => await db.run(async () => {
  const result = await next()
  if (!result.ok) db.setRollbackOnly()
  return result
}))
