/** SQLSTATE 40000, "transaction rollback". */
const ROLLED_BACK = '40000'

/** Marks an error as a server's answer: a COMMIT that fails with it was certainly not carried out (see commit-error.ts). */
export function answered<T extends Error> (error: T): T {
  return Object.assign(error, { sqlState: ROLLED_BACK })
}
