/**
 * Waits for `work`, but no longer than `milliseconds`. What fails later is nobody's business any more.
 * @returns whether it was done in time
 * @throws what `work` throws in time
 */
export async function withTimeout (milliseconds: number, work: Promise<unknown>): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const timer = setTimeout(resolve, milliseconds, false)
  try {
    return await Promise.race([work.then(() => true), promise])
  } finally {
    clearTimeout(timer)
  }
}

/** Until all of them are over. Gives nothing where there is nothing to wait for, since each promise costs a request something. */
export function together (works: readonly (Promise<unknown> | undefined)[]): Promise<unknown> | undefined {
  const waiting = works.filter(work => work !== undefined)
  return waiting.length === 0 ? undefined : Promise.all(waiting)
}
