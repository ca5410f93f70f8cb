import type { FastifyInstance } from 'fastify'

/** A route whose option is misspelt. */
export default async function wrong (app: FastifyInstance): Promise<void> {
  app.get('/wrong', { config: { db: { readonly: true } as object } }, async () => 'never')
}
