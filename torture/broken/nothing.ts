import { handWritten } from './hand-written.ts'

/** Makes none of the mistakes: shows that the others are caught for theirs. */
export default handWritten({})
