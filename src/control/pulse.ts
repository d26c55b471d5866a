// Tells for how long a worker's beats have not changed.

export class Pulse {
  #beats: number | undefined
  #changedAtMs = 0

  /** Begins anew, as if it had just beaten. */
  reset (nowMs: number): void {
    this.#changedAtMs = nowMs
  }

  /** @returns milliseconds since a beat was last felt, as of now */
  silentMs (beats: number, nowMs: number): number {
    if (beats !== this.#beats) this.#changedAtMs = nowMs
    this.#beats = beats
    return nowMs - this.#changedAtMs
  }
}
