// Watches what is in flight after maintenance was entered, until there is nothing. Pure: counts, clock and timers are
// passed in.

export interface DrainWatchPorts {
  /** What is in flight that the mode refuses. */
  inFlight (): number
  /** Lets the application put away what it holds of the database. @returns what failed */
  runHooks (): Promise<readonly string[]>
  monotonicMs (): number
  /** Calls back once. @returns cancels it */
  after (delayMs: number, callback: () => void): () => void
  drained (tookMs: number, failures: readonly string[]): void
}

// A poll and not a notification: nothing that a stuck or dead worker leaves undone can make it miss the end.
const POLL_MS = 10

export class DrainWatch {
  readonly #ports: DrainWatchPorts
  #startedAtMs = 0
  /** Tells a run from those before it. */
  #run = 0
  #isOver = false
  #cancelPoll = (): void => {}

  constructor (ports: DrainWatchPorts) {
    this.#ports = ports
  }

  /** Whether nothing is in flight any more, and the application has put away what it held. */
  get isOver (): boolean {
    return this.#isOver
  }

  start (): void {
    this.stop()
    this.#startedAtMs = this.#ports.monotonicMs()
    this.#look()
  }

  stop (): void {
    this.#cancelPoll()
    this.#run++
    this.#isOver = false
  }

  #look (): void {
    if (this.#ports.inFlight() > 0) this.#cancelPoll = this.#ports.after(POLL_MS, () => this.#look())
    else this.#finish(this.#run)
  }

  async #finish (run: number): Promise<void> {
    const failures = await this.#ports.runHooks()
    // Maintenance may have been left, and entered again, meanwhile.
    if (run !== this.#run) return
    this.#isOver = true
    this.#ports.drained(Math.round(this.#ports.monotonicMs() - this.#startedAtMs), failures)
  }
}
