// Watches the ends that holders have named, and the clock that they are measured by. Pure: clock and timers are
// passed in.

import { isOverdue, moveDurations, type Holder } from './holders.ts'

export interface EndWatchPorts {
  holders (): readonly Holder[]
  /** An end has passed, and again every so often while it stands. */
  due (holder: Holder): void
  /** The clock was set. @param endsMoved whether ends that count as durations moved along */
  clockSet (movedMs: number, endsMoved: boolean): void
  clock: { now (): Date, monotonicMs (): number }
  /** Calls back once. @returns cancels it */
  after (delayMs: number, callback: () => void): () => void
}

const POLL_MS = 1_000
const CHECK_AGAIN_MS = 30_000
const COMPLAIN_AGAIN_MS = 300_000
// The clock is slewed by less than this between two looks at it (adjtimex(2)); more means that it was set.
const STEP_MS = 2_000

export class EndWatch {
  readonly #ports: EndWatchPorts
  /** When to act on a holder's end again, on the monotonic clock. */
  readonly #againAtMs = new Map<string, number>()
  /** The wall clock less the monotonic one: constant until the clock is set. */
  #offsetMs: number
  #cancelPoll: (() => void) | undefined

  constructor (ports: EndWatchPorts) {
    this.#ports = ports
    this.#offsetMs = this.#readOffset()
  }

  /** Looks now, and goes on looking while somebody has named an end. */
  look (): void {
    // What happened to the clock while nobody had named an end moves none.
    if (this.#cancelPoll === undefined) this.#offsetMs = this.#readOffset()
    this.stop()
    this.#followClock()
    const { holders, due, clock, after } = this.#ports
    for (const holder of [...holders()]) {
      const { name, end } = holder
      const nowMs = clock.monotonicMs()
      if (end === undefined || !isOverdue(holder, clock.now()) || nowMs < (this.#againAtMs.get(name) ?? -Infinity)) continue
      this.#againAtMs.set(name, nowMs + (end.then === 'stay' ? COMPLAIN_AGAIN_MS : CHECK_AGAIN_MS))
      due(holder)
    }
    if (holders().some(({ end }) => end !== undefined)) this.#cancelPoll = after(POLL_MS, () => this.look())
  }

  /** A holder has another end, or is gone. */
  forget (name: string): void {
    // The new end was reckoned by the clock as it is: what happened to that before moves only the others.
    if (this.#cancelPoll !== undefined) this.#followClock(name)
    this.#againAtMs.delete(name)
  }

  stop (): void {
    this.#cancelPoll?.()
    this.#cancelPoll = undefined
  }

  #followClock (except?: string): void {
    const offset = this.#readOffset()
    const movedMs = offset - this.#offsetMs
    if (Math.abs(movedMs) < STEP_MS) return
    this.#offsetMs = offset
    const holders = this.#ports.holders().filter(({ name }) => name !== except)
    this.#ports.clockSet(Math.round(movedMs), moveDurations(holders, movedMs))
  }

  #readOffset (): number {
    return this.#ports.clock.now().getTime() - this.#ports.clock.monotonicMs()
  }
}
