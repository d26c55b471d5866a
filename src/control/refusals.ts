// Adds up what the workers have refused: in all since maintenance was entered, and since the last summary.

import type { Switch } from '../maintenance/switch.ts'

export class Refusals {
  readonly #switch: Switch
  readonly #seen: number[]
  #total = 0
  #summed = 0

  constructor (switchOfWorkers: Switch) {
    this.#switch = switchOfWorkers
    this.#seen = Array.from({ length: switchOfWorkers.workers }, () => 0)
  }

  /** Since {@link restart}. */
  get total (): number {
    for (const [worker, before] of this.#seen.entries()) {
      const refused = this.#switch.refused(worker)
      // The workers' counters wrap around at 2^32.
      this.#total += (refused - before) >>> 0
      this.#seen[worker] = refused
    }
    return this.#total
  }

  /** Since the last call of this, or {@link restart}. */
  takeNew (): number {
    const { total } = this
    const fresh = total - this.#summed
    this.#summed = total
    return fresh
  }

  /** Counts from zero: maintenance was entered. */
  restart (): void {
    this.#total = 0
    this.#summed = 0
  }
}
