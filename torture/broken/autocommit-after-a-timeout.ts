import { handWritten } from './hand-written.ts'

/** Lets a handler that has outlived its answer write on, outside any transaction. */
export default handWritten({ afterwards: 'autocommits' })
