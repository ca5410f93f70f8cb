import { runSixth } from './files.ts'

await runSixth(3)
