import type { Spread } from '../statistics.ts'

export function table (titles: readonly string[], rows: readonly (readonly string[])[]): string {
  return [titles, titles.map(() => '---'), ...rows].map(cells => `| ${cells.join(' | ')} |`).join('\n')
}

/** A median with its quartiles; nothing where nothing was measured. */
export function describe ({ median, lower, upper }: Spread): string {
  return Number.isNaN(median) ? '' : `${median.toFixed(2)} (${lower.toFixed(2)} to ${upper.toFixed(2)})`
}
