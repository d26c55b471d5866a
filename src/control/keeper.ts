// Keeps the mode where a restart finds it: in the record on the disk, and in the witness beside it. What cannot be
// written is tried again; nothing is called durable that is not.

import { messageOf } from '../errors.ts'
import type { RecordState } from './record-format.ts'

export interface KeeperPorts {
  record: {
    /** @throws Error: the old record stands, or the new one may be lost with the power */
    write (state: RecordState): void
    /** Whether just this state stands there already, and is there to stay. */
    holds (state: RecordState): boolean
    /** Makes sure that an old record is not believed. @returns whether it did */
    disown (): boolean
  }
  /** A second witness beside the record, which survives a restart when the disk does not; see docs/architecture.md. */
  witness: { set (): void, clear (): void }
  /** Calls back once. @returns cancels it */
  after (delayMs: number, callback: () => void): () => void
  report (event: KeeperEvent): void
}

export type KeeperEvent =
  | { event: 'record-unwritable', reason: string, survivesReboot: boolean }
  | { event: 'record-written' }
  | { event: 'witness-failed', reason: string }

const RETRY_MS = 10_000

export class Keeper {
  readonly #ports: KeeperPorts
  /** Where a restart finds the mode: in the record; in the lack of one, which means doubt; or nowhere. */
  #saved: 'written' | 'disowned' | 'nowhere' = 'written'
  #witnessFails = false
  #stopped = false
  #cancelRetry = (): void => {}

  constructor (ports: KeeperPorts) {
    this.#ports = ports
  }

  /** Whether a restart of the machine would find the same mode. */
  get isDurable (): boolean {
    return this.#saved !== 'nowhere'
  }

  /** Whether it would find why, too. */
  get isRecorded (): boolean {
    return this.#saved === 'written'
  }

  /** Goes on from the state that a process was started in. What the disk holds already needs no room on it. */
  resume (state: RecordState): void {
    if (!this.#ports.record.holds(state)) this.keep(state)
    else if (state.mode !== 'live') this.#testify('set')
  }

  /** Keeps a new state. It cannot fail: what cannot be written is reported, and tried again. */
  keep (state: RecordState): void {
    const { record, report, after } = this.#ports
    this.#cancelRetry()
    if (state.mode !== 'live') this.#testify('set')
    const before = this.#saved
    try {
      record.write(state)
      this.#saved = 'written'
      if (before !== 'written') report({ event: 'record-written' })
    } catch (error) {
      // What stands on the disk is older than the truth. It may say live, or name an end that was put off.
      this.#saved = state.mode !== 'live' && record.disown() ? 'disowned' : 'nowhere'
      const survivesReboot = this.#saved === 'disowned'
      if (before !== this.#saved) report({ event: 'record-unwritable', reason: messageOf(error), survivesReboot })
      if (!this.#stopped) this.#cancelRetry = after(RETRY_MS, () => this.keep(state))
    }
  }

  /** Keeps that it is live. @throws Error: then a restart finds what was before */
  open (live: RecordState, before: RecordState): void {
    const { record } = this.#ports
    try {
      record.write(live)
    } catch (error) {
      // It may have failed half-way, when the new record was in place.
      if (!record.holds(before)) this.keep(before)
      throw error
    }
    this.#cancelRetry()
    this.#saved = 'written'
    this.#testify('clear')
  }

  stop (): void {
    this.#stopped = true
    this.#cancelRetry()
  }

  #testify (what: 'set' | 'clear'): void {
    const { witness, report } = this.#ports
    try {
      witness[what]()
      this.#witnessFails = false
    } catch (error) {
      if (!this.#witnessFails) report({ event: 'witness-failed', reason: messageOf(error) })
      this.#witnessFails = true
    }
  }
}
