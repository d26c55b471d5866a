// Who wants maintenance in a test, and may not be passed over: reckoned from what was asked, and not from the operator.

import type { Holder } from '../../src/control/holders.ts'
import type { FakeClock } from './fake-clock.ts'

/** When it may be passed over: at an end on the wall clock, or so long after it began. */
interface Claim {
  endsAtWallMs?: number
  endsAtMonotonicMs?: number
  opens?: boolean
}

export class Claims {
  readonly #clock: FakeClock
  readonly #claims = new Map<string, Claim>()
  /** Whether somebody has said, since it was opened last, that it may be opened without the check. */
  mayOpenUnchecked = false

  constructor (clock: FakeClock) {
    this.#clock = clock
  }

  /** Those that stand now. */
  get names (): string[] {
    const { now, monotonicMs } = this.#clock
    for (const [name, { endsAtWallMs = Infinity, endsAtMonotonicMs = Infinity, opens = false }] of this.#claims) {
      if (endsAtWallMs > now().getTime() && endsAtMonotonicMs > monotonicMs()) continue
      // What has ended may be passed over from then on, even if the clock is set back.
      this.#claims.delete(name)
      if (opens) this.mayOpenUnchecked = true
    }
    return [...this.#claims.keys()]
  }

  set (name: string, end: Holder['end']): void {
    this.#claims.set(name, this.#claimOf(end))
  }

  /** @param name undefined: all */
  end (name?: string): void {
    for (const [each, { opens = false }] of this.#claims) {
      if (name !== undefined && name !== each) continue
      this.#claims.delete(each)
      // Until the leave is done its end goes on counting.
      if (opens) this.mayOpenUnchecked = true
    }
  }

  #claimOf (end: Holder['end']): Claim {
    if (end === undefined || end.then === 'stay') return {}
    const opens = end.then === 'open'
    if (end.countsBy === 'clock') return { opens, endsAtWallMs: end.at.getTime() }
    return { opens, endsAtMonotonicMs: this.#clock.monotonicMs() + end.at.getTime() - this.#clock.now().getTime() }
  }
}
