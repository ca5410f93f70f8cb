import { simple } from './simple.ts'

/** Right, as far as it goes. */
export default simple()
