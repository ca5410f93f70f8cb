import { handWritten } from './hand-written.ts'

/** Takes an error that the handler has caught and answered for a success. */
export default handWritten({ outcome: 'always commit' })
