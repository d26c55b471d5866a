// Adds up what the workers count. Their counters wrap around at 2^32 and outlive the worker; this one does not wrap.

export class Tally {
  readonly #read: (worker: number) => number
  readonly #seen: number[]
  #total = 0

  /** @param read a worker's counter, to be understood modulo 2^32 */
  constructor (workers: number, read: (worker: number) => number) {
    this.#read = read
    this.#seen = Array.from({ length: workers }, (_, worker) => read(worker))
  }

  /** In all, since this was made. To be read more often than a counter wraps around: every few hours. */
  get total (): number {
    for (const [worker, before] of this.#seen.entries()) {
      const now = this.#read(worker)
      this.#total += (now - before) >>> 0
      this.#seen[worker] = now
    }
    return this.#total
  }
}
