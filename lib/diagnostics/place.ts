import { fileURLToPath } from 'node:url'

/** As many frames as may be between a statement and the code that has asked for it. */
const MOST_FRAMES = 100

const OWN = new URL('..', import.meta.url).href

const LOCATION = /(?:\(|at (?:async )?)((?:file:|\/|[a-z]:\\).*:\d+:\d+)\)?$/i

/** Who wants to know the places of all statements. */
let wanting = 0

/**
 * From now on the places of what new sessions send are found.
 * @returns a function that ends it
 */
export function wantPlaces (): () => void {
  wanting++
  return () => { wanting-- }
}

export function arePlacesWanted (): boolean {
  return wanting > 0
}

/** The place in the application's code that this runs for: the first outside this package and outside node_modules, if there is one. */
export function currentPlace (): string | undefined {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = MOST_FRAMES
  const { stack } = new Error()
  Error.stackTraceLimit = stackTraceLimit
  for (const line of String(stack).split('\n')) {
    const location = LOCATION.exec(line)?.[1]
    if (location !== undefined && isApplication(location)) return location.startsWith('file:') ? fileURLToPath(location) : location
  }
  return undefined
}

function isApplication (location: string): boolean {
  return !location.startsWith(OWN) && !/[\\/]node_modules[\\/]/.test(location)
}
