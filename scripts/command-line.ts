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
