// Refused requests: how many there were since maintenance was entered, and now and then a line in the log.

import type { Logger } from '../log.ts'
import type { Tally } from './tally.ts'

export class Refusals {
  readonly #tally: Tally
  readonly #logger: Logger
  #beforeEntering = 0
  #summedUp = 0

  constructor (tally: Tally, logger: Logger) {
    this.#tally = tally
    this.#logger = logger
  }

  /** Since the process started. */
  get total (): number {
    return this.#tally.total
  }

  get sinceEntering (): number {
    return this.total - this.#beforeEntering
  }

  entered (): void {
    // What was refused before belongs to the time before.
    this.sumUp()
    this.#beforeEntering = this.total
  }

  /** Logs how many there were since the last time, if there were any. */
  sumUp (): void {
    const refused = this.total - this.#summedUp
    this.#summedUp += refused
    if (refused > 0) this.#logger.info({ event: 'requests-refused', refused, inAll: this.sinceEntering }, 'requests refused')
  }
}
