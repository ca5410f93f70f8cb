import { runEverySecond } from './files.ts'

await runEverySecond(1)
