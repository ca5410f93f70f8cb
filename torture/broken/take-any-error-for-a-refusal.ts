import { handWritten } from './hand-written.ts'

/** Tells of a COMMIT that was answered with 1180 as if it had been refused: in a cluster it may have been carried out. */
export default handWritten({ refusals: 'any error' })
