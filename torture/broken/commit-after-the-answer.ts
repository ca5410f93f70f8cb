import { handWritten } from './hand-written.ts'

/** Answers first: what then cannot be committed has been reported as a success. */
export default handWritten({ commits: 'after the answer' })
