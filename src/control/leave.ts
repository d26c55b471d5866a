// A leave: waits for what must be well before the site opens, and can be interrupted while it does. It opens nothing
// by itself.

import { messageOf } from '../errors.ts'

export interface LeavePorts {
  application: {
    isServing (): boolean
    /** Resolves when every worker serves the application; rejects when aborted. */
    whenServing (signal: AbortSignal): Promise<void>
  }
  /** @returns what the reopening check saw where it did not pass; undefined port: none is configured */
  check: ((signal: AbortSignal) => Promise<string | undefined>) | undefined
  report (event: LeaveEvent): void
}

export type LeaveEvent =
  | { event: 'leave-waiting', by: string }
  | { event: 'leave-refused', by: string, reason: string }

/** Why a leave that waited does not go on, or the outcome of the one that took its place. */
export type Interruption = string | Promise<string | undefined>

export interface LeaveOptions {
  /** Whose claims it is to end. */
  names: readonly string[]
  by: string
  /** Whether to open without the reopening check. */
  force: boolean
  /** Opens. @returns why that cannot be, or undefined */
  open (): string | undefined
}

export class Leave {
  readonly names: readonly string[]
  /** Resolves to undefined when it is done, or to why it is not. */
  readonly outcome: Promise<string | undefined>
  readonly #ports: LeavePorts
  readonly #interruption = new AbortController()

  /** Begins. What need not be waited for is done when this returns. */
  constructor (ports: LeavePorts, options: LeaveOptions) {
    this.#ports = ports
    this.names = options.names
    this.outcome = this.#go(options)
  }

  interrupt (why: Interruption): void {
    this.#interruption.abort(why)
  }

  async #go ({ by, force, open }: LeaveOptions): Promise<string | undefined> {
    const { application, check, report } = this.#ports
    const { signal } = this.#interruption
    const refuse = (reason: string): string => {
      report({ event: 'leave-refused', by, reason })
      return reason
    }
    for (;;) {
      let saw: string | undefined
      try {
        if (!application.isServing()) {
          report({ event: 'leave-waiting', by })
          await application.whenServing(signal)
        }
        if (check !== undefined && !force && !signal.aborted) saw = await check(signal)
      } catch (error) {
        if (!signal.aborted) return refuse(messageOf(error))
      }
      if (signal.aborted) return await (signal.reason as Interruption)
      if (saw !== undefined) return refuse(`the reopening check failed: ${saw}`)
      // It may have gone while the check ran. Nothing comes between this answer and the opening.
      if (application.isServing()) return open()
    }
  }
}
