// The deaths in one place of the pool: how many in a row, the last one's cause, and when it is tried again.

const FIRST_RETRY_MS = 500
const LONGEST_RETRY_MS = 30_000
// A worker that served for so long was well.
const STABLE_MS = 60_000

export class Deaths {
  #inRow = 0
  #total = 0
  #lastError: Error | undefined
  #retry: NodeJS.Timeout | undefined

  /** Each soon after the one before. */
  get inRow (): number {
    return this.#inRow
  }

  get total (): number {
    return this.#total
  }

  get lastError (): Error | undefined {
    return this.#lastError
  }

  /** Whether a next try is waited for. */
  get isRetrying (): boolean {
    return this.#retry !== undefined
  }

  /**
   * Counts one, and waits to try again.
   * @param servedMs for how long it had served
   * @returns how long that wait is
   */
  add (error: Error, servedMs: number, tryAgain: () => void): number {
    this.#inRow = servedMs > STABLE_MS ? 1 : this.#inRow + 1
    this.#total++
    this.#lastError = error
    // The first time is without delay: a single crash should not be felt.
    const retryMs = this.#inRow === 1 ? 0 : Math.min(FIRST_RETRY_MS * 2 ** (this.#inRow - 2), LONGEST_RETRY_MS)
    this.cancelRetry()
    this.#retry = setTimeout(tryAgain, retryMs)
    return retryMs
  }

  cancelRetry (): void {
    clearTimeout(this.#retry)
    this.#retry = undefined
  }

  /** Counts in a row from zero. */
  forgive (): void {
    this.#inRow = 0
  }
}
