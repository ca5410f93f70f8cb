import { handWritten } from './hand-written.ts'

/** Looks out for the client only once the handler begins: one that leaves in a hook which then refuses it leaves a session behind. */
export default handWritten({ disposes: 'when it closes after the hooks' })
