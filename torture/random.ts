import { uniformInt } from 'pure-rand/distribution/uniformInt'
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus'

/** Random choices that a seed repeats. */
export class Random {
  readonly #generator

  constructor (seed: number) {
    this.#generator = xoroshiro128plus(seed)
  }

  /** A whole number from `least` to `most`, both included. */
  between (least: number, most: number): number {
    return uniformInt(this.#generator, least, most)
  }

  /** True once in `times`. */
  oneIn (times: number): boolean {
    return this.between(1, times) === 1
  }

  pick<T> (choices: readonly T[]): T {
    return choices[this.between(0, choices.length - 1)] as T
  }

  shuffled<T> (values: readonly T[]): T[] {
    const left = [...values]
    return values.map(() => left.splice(this.between(0, left.length - 1), 1)[0] as T)
  }
}
