import { handWritten } from './hand-written.ts'

/** Does not wait with the work after the commit until there is one. */
export default handWritten({ works: 'at once' })
