// A wall clock and a monotonic one that only a test moves, with the timers that go by the latter.

interface Timer {
  atMs: number
  callback: () => void
}

export class FakeClock {
  readonly #timers = new Set<Timer>()
  #wallMs = Date.UTC(2026, 0, 1, 12)
  #monotonicMs = 5_000

  readonly now = (): Date => new Date(this.#wallMs)
  readonly monotonicMs = (): number => this.#monotonicMs

  readonly after = (delayMs: number, callback: () => void): (() => void) => {
    const timer = { atMs: this.#monotonicMs + delayMs, callback }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  get timers (): number {
    return this.#timers.size
  }

  /** So long from now, by the wall clock. */
  in (ms: number): Date {
    return new Date(this.#wallMs + ms)
  }

  /** Somebody sets the wall clock. */
  set (byMs: number): void {
    this.#wallMs += byMs
  }

  /** Time passes, and timers fire in order. */
  pass (ms: number): void {
    const end = this.#monotonicMs + ms
    for (;;) {
      const [next] = [...this.#timers].sort((a, b) => a.atMs - b.atMs)
      if (next === undefined || next.atMs > end) break
      this.#timers.delete(next)
      this.#moveTo(next.atMs)
      next.callback()
    }
    this.#moveTo(end)
  }

  #moveTo (monotonicMs: number): void {
    this.#wallMs += monotonicMs - this.#monotonicMs
    this.#monotonicMs = monotonicMs
  }
}
