/** Runs all quick tests in this process: to start one for each file takes longer than most of them. */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { quickFiles } from './quick-files.ts'

for (const file of quickFiles()) await import(pathToFileURL(resolve(file)).href)
