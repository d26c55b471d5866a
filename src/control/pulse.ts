// Tells for how long a worker's beats have not changed.

export class Pulse {
  #beats: number | undefined
  #changedAtMs: number

  /** Begins as if it had just beaten. */
  constructor (nowMs: number) {
    this.#changedAtMs = nowMs
  }

  /** Time in which nobody's beats could be felt does not count as silence. */
  excuse (ms: number): void {
    this.#changedAtMs += ms
  }

  /** @returns milliseconds since a beat was last felt, as of now */
  silentMs (beats: number, nowMs: number): number {
    if (beats !== this.#beats) this.#changedAtMs = nowMs
    this.#beats = beats
    return Math.max(0, nowMs - this.#changedAtMs)
  }
}
