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
