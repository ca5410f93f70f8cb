/** Until all of them are over. Gives nothing where there is nothing to wait for, since each promise costs a request something. */
export function together (works: readonly (Promise<unknown> | undefined)[]): Promise<unknown> | undefined {
  const waiting = works.filter(work => work !== undefined)
  return waiting.length === 0 ? undefined : Promise.all(waiting)
}
