import { handWritten } from './hand-written.ts'

/** Does not close the file that was to be sent when the commit fails. */
export default handWritten({ payloads: 'are forgotten' })
