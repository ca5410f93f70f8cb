/** The value below which a part of the values lies, by linear interpolation; `part` is 0 to 1. */
export function quantile (values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (sorted.length - 1) * part
  const [low, high] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]]
  if (low === undefined || high === undefined) return NaN
  return low + (high - low) * (at - Math.floor(at))
}

export function median (values: readonly number[]): number {
  return quantile(values, 0.5)
}

/** A median with its quartiles. */
export interface Spread {
  readonly median: number
  readonly lower: number
  readonly upper: number
}

export function spread (values: readonly number[]): Spread {
  return { median: median(values), lower: quantile(values, 0.25), upper: quantile(values, 0.75) }
}

/** The ratios of one contender to another, round by round, since only what was measured side by side can be compared. */
export function ratios (values: readonly number[], reference: readonly number[]): Spread {
  return spread(values.map((value, round) => value / (reference[round] as number)))
}
