import { parseArgs, type ParseArgsConfig } from 'node:util'

/** What was asked for on the command line cannot be done, and why. */
export class UsageError extends Error {}

/** @throws UsageError that says what is wrong */
export function parse<Options extends NonNullable<ParseArgsConfig['options']>> (args: string[], options: Options) {
  try {
    return parseArgs({ args, options }).values
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

/** @throws UsageError */
export function wholeNumber (option: string, text: string): number {
  const number = Number(text)
  if (!Number.isSafeInteger(number) || number < 1) throw new UsageError(`--${option} is a whole number from 1, not ${text}`)
  return number
}

/**
 * The names in a list with commas between: `all` are those that there are.
 * @param where there is no other
 * @throws UsageError
 */
export function namesIn<Name extends string> (option: string, list: string, known: readonly Name[], where = ''): readonly Name[] {
  if (list === 'all') return known
  const names = list.split(',').filter(name => name !== '') as Name[]
  const wrong = names.find(name => !known.includes(name))
  if (wrong !== undefined) throw new UsageError(`--${option}: there is no "${wrong}"${where}, only ${known.join(', ')}`)
  return names
}

/**
 * Runs a command whose exit code is what `main` gives; 2 if it throws. Wrong arguments are answered with `help`, which `--help` asks for.
 * @param main takes the arguments, and a signal that is aborted when the command is to end: what it has started it has to stop first
 */
export async function runCommand (help: string, main: (args: string[], signal: AbortSignal) => Promise<number>): Promise<void> {
  const args = process.argv.slice(2)
  if (args.includes('--help') || args.includes('-h')) {
    console.log(help)
    return
  }
  const controller = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => controller.abort(new Error(signal)))
  try {
    process.exitCode = await main(args, controller.signal)
  } catch (error) {
    console.error(error instanceof UsageError ? `${error.message}\n\n${help}` : error)
    process.exitCode = 2
  }
}
