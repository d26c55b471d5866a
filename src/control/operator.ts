// The operator: the one state machine through which everything enters and leaves maintenance. It is pure: what it
// acts on, the clock and the timers are passed in, so signals, a socket or a test drive the same code.

import type { Mode } from '../maintenance/switch.ts'
import { messageOf } from '../errors.ts'
import type { RecordState } from './record.ts'

export interface OperatorPorts {
  switch: {
    mode: Mode
    /** What is in flight that the mode would refuse. */
    inFlight (mode: Mode): number
  }
  record: { write (state: RecordState): void }
  /** A second witness beside the record, which survives a restart when the disk does not; see docs/architecture.md. */
  witness: { set (): void, clear (): void }
  application: {
    isServing (): boolean
    /** Resolves when every worker serves the application; rejects when aborted. */
    whenServing (signal: AbortSignal): Promise<void>
  }
  clock: { now (): Date, monotonicMs (): number }
  /** Calls back once. @returns cancels it */
  after (delayMs: number, callback: () => void): () => void
  report (event: OperatorEvent): void
}

export type OperatorEvent =
  | { event: 'maintenance-entered', mode: Mode, by: string, inFlight: number, durable: boolean }
  | { event: 'maintenance-unchanged', mode: Mode, by: string }
  | { event: 'maintenance-drained', tookMs: number }
  | { event: 'maintenance-left', by: string, lastedMs: number }
  | { event: 'leave-waiting', by: string }
  | { event: 'leave-cancelled', by: string }
  | { event: 'leave-refused', by: string, reason: string }
  | { event: 'record-unwritable', reason: string }
  | { event: 'record-written' }

export interface OperatorStatus extends RecordState {
  drained: boolean
  inFlight: number
  /** Whether a restart of the machine would find the same mode. */
  durable: boolean
  /** Whether leaving waits for the application. */
  leaving: boolean
}

// How often the counts are read while something is in flight. A poll and not a notification: nothing that a stuck
// or dead worker leaves undone can make it miss the end.
const DRAIN_POLL_MS = 10
const RECORD_RETRY_MS = 10_000

export class Operator {
  readonly #ports: OperatorPorts
  #state: RecordState
  #durable = true
  #drained = false
  #enteredAtMs: number
  #leaving: AbortController | undefined
  #stopped = false
  #cancelDrainPoll = (): void => {}
  #cancelRetry = (): void => {}

  /** Takes over in a state that the record has told; {@link resume} goes on from there. */
  constructor (ports: OperatorPorts, state: RecordState) {
    this.#ports = ports
    this.#state = state
    this.#enteredAtMs = ports.clock.monotonicMs()
    ports.switch.mode = state.mode
  }

  /** Makes the state that was started in durable and begins to watch what is in flight. */
  resume (): void {
    if (this.#state.mode !== 'live') this.#ports.witness.set()
    this.#saveOrRetry()
    this.#watchDrain()
  }

  get status (): OperatorStatus {
    return {
      ...this.#state,
      drained: this.#drained,
      inFlight: this.#ports.switch.inFlight(this.#state.mode),
      durable: this.#durable,
      leaving: this.#leaving !== undefined
    }
  }

  /**
   * Enters maintenance, or read-only; doing so again changes nothing. It cannot fail: where the record cannot be
   * written the mode is entered all the same, reported as not durable, and the record is tried again.
   */
  enter (by: string, mode: Exclude<Mode, 'live'> = 'maintenance'): void {
    this.#cancelLeave(by)
    if (this.#state.mode === mode) {
      if (!this.#durable) this.#saveOrRetry()
      this.#ports.report({ event: 'maintenance-unchanged', mode, by })
      return
    }
    this.#state = { mode, since: this.#ports.clock.now(), by }
    this.#enteredAtMs = this.#ports.clock.monotonicMs()
    this.#drained = false
    this.#ports.witness.set()
    this.#saveOrRetry()
    this.#ports.switch.mode = mode
    const inFlight = this.#ports.switch.inFlight(mode)
    this.#ports.report({ event: 'maintenance-entered', mode, by, inFlight, durable: this.#durable })
    this.#watchDrain()
  }

  /**
   * Leaves maintenance as soon as the application serves; doing so again changes nothing.
   * @returns when it has left, or has reported why not
   */
  async leave (by: string): Promise<void> {
    const { application, report } = this.#ports
    if (this.#state.mode === 'live' || this.#leaving !== undefined) {
      report({ event: 'maintenance-unchanged', mode: this.#state.mode, by })
      return
    }
    if (this.#stopped) {
      report({ event: 'leave-refused', by, reason: 'the service is stopping' })
      return
    }
    if (!application.isServing()) {
      const leaving = this.#leaving = new AbortController()
      report({ event: 'leave-waiting', by })
      try {
        await application.whenServing(leaving.signal)
      } catch {
        return // Whoever aborted it has reported why.
      }
      // Entering again may have come between the application's answer and this line.
      if (leaving.signal.aborted) return
      this.#leaving = undefined
    }
    this.#open(by)
  }

  /** Stops watching and leaving. Entering still works, for as long as the process lives. */
  stop (): void {
    this.#stopped = true
    this.#cancelLeave('stopping')
    this.#cancelDrainPoll()
    this.#cancelRetry()
  }

  #open (by: string): void {
    const { clock, record, report, witness } = this.#ports
    const closed = this.#state
    const open: RecordState = { mode: 'live', since: clock.now(), by }
    try {
      record.write(open)
    } catch (error) {
      // The write may have failed half-way, after the new record was in place: a restart must not find it.
      this.#saveOrRetry()
      report({ event: 'leave-refused', by, reason: `${messageOf(error)}; a restart would be in maintenance again` })
      return
    }
    witness.clear()
    this.#cancelDrainPoll()
    this.#cancelRetry()
    this.#durable = true
    this.#drained = false
    this.#state = open
    this.#ports.switch.mode = 'live'
    report({ event: 'maintenance-left', by, lastedMs: clock.now().getTime() - closed.since.getTime() })
  }

  #cancelLeave (by: string): void {
    if (this.#leaving === undefined) return
    this.#leaving.abort()
    this.#leaving = undefined
    this.#ports.report({ event: 'leave-cancelled', by })
  }

  #saveOrRetry (): void {
    this.#cancelRetry()
    const wasDurable = this.#durable
    try {
      this.#ports.record.write(this.#state)
      this.#durable = true
      if (!wasDurable) this.#ports.report({ event: 'record-written' })
    } catch (error) {
      this.#durable = false
      if (wasDurable) this.#ports.report({ event: 'record-unwritable', reason: messageOf(error) })
      if (!this.#stopped) this.#cancelRetry = this.#ports.after(RECORD_RETRY_MS, () => this.#saveOrRetry())
    }
  }

  #watchDrain (): void {
    this.#cancelDrainPoll()
    if (this.#state.mode === 'live' || this.#drained || this.#stopped) return
    if (this.#ports.switch.inFlight(this.#state.mode) > 0) {
      this.#cancelDrainPoll = this.#ports.after(DRAIN_POLL_MS, () => this.#watchDrain())
      return
    }
    this.#drained = true
    this.#ports.report({
      event: 'maintenance-drained', tookMs: Math.round(this.#ports.clock.monotonicMs() - this.#enteredAtMs)
    })
  }
}
