import { styleText } from 'node:util'

/** What one line of the timeline is about. */
export interface Entry {
  readonly scope: string
  /** The id of the scope's EntityManager, once there is one. */
  readonly session: number | undefined
  readonly what: string
  /** When it happened; now, if left out. */
  readonly at?: number
}

/** Prints what happens, as aligned lines with the milliseconds since the timeline was begun. */
export class Timeline {
  readonly #start = performance.now()

  now (): number {
    return performance.now() - this.#start
  }

  /** Begins a chapter. */
  heading (title: string, lines: readonly string[]): void {
    this.print('')
    this.print(styleText('bold', title))
    for (const line of lines) this.print(`  ${line}`)
  }

  columns (): void {
    this.print('')
    this.print(styleText('dim', row('ms', 'scope', 'session', 'what happened')))
  }

  entry ({ scope, session, what, at = this.now() }: Entry): void {
    this.print(row(at.toFixed(1), scope, session === undefined ? '-' : `#${session}`, what))
  }

  print (text: string): void {
    process.stdout.write(`${text}\n`)
  }
}

function row (ms: string, scope: string, session: string, what: string): string {
  return `${ms.padStart(9)}  ${scope.padEnd(6)}  ${session.padEnd(7)}  ${what}`
}
