import { globSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import ts from 'typescript'

/** All that a file imports, and what that imports, by path or by name. */
function imports (file: string, found = new Set<string>()): Set<string> {
  for (const { fileName: name } of ts.preProcessFile(readFileSync(file, 'utf8')).importedFiles) {
    const imported = name.startsWith('.') ? join(dirname(file), name) : name
    if (found.has(imported)) continue
    found.add(imported)
    if (name.startsWith('.')) imports(imported, found)
  }
  return found
}

const isSlow = (imported: Set<string>) => imported.has('node:child_process') || imported.has('typescript')

/** The test files that start neither a process nor a compiler: those from which no import leads to either. */
export function quickFiles (): string[] {
  return globSync('test/!(ecosystem)/**/*.test.ts').filter(file => !isSlow(imports(file))).sort()
}

/**
 * Runs every sixth of them in this process: to start one for each takes longer than most of them, and many wait more than they work.
 * @param sixth from 0 to 5
 */
export async function runSixth (sixth: number): Promise<void> {
  for (const [index, file] of quickFiles().entries()) if (index % 6 === sixth) await import(pathToFileURL(resolve(file)).href)
}
