// The operator: the one state machine through which everything enters and leaves maintenance. It is pure: what it
// acts on, the clock and the timers are passed in, so signals, the control socket or a test drive the same code.

import type { Mode } from '../maintenance/switch.ts'
import { messageOf } from '../errors.ts'
import { DrainWatch } from './drain-watch.ts'
import { EndWatch } from './end-watch.ts'
import { isOverdue, type End, type Holder } from './holders.ts'
import { OPERATOR, type Outcome } from './protocol.ts'
import type { RecordState } from './record.ts'

export interface OperatorPorts {
  switch: {
    mode: Mode
    /** What is in flight that the mode would refuse. */
    inFlight (mode: Mode): number
  }
  record: {
    write (state: RecordState): void
    /** Makes sure that an old record is not believed. @returns whether it did */
    disown (): boolean
  }
  /** A second witness beside the record, which survives a restart when the disk does not; see docs/architecture.md. */
  witness: { set (): void, clear (): void }
  application: {
    isServing (): boolean
    /** Resolves when every worker serves the application; rejects when aborted. */
    whenServing (signal: AbortSignal): Promise<void>
    /** Lets the application put away what it holds of the database. @returns what failed */
    drained (): Promise<readonly string[]>
  }
  /** @returns what the reopening check saw where it did not pass; undefined port: none is configured */
  check: (() => Promise<string | undefined>) | undefined
  clock: { now (): Date, monotonicMs (): number }
  /** Calls back once. @returns cancels it */
  after (delayMs: number, callback: () => void): () => void
  report (event: OperatorEvent): void
}

export type OperatorEvent =
  | { event: 'maintenance-entered', holder: string, by: string, reason?: string, until?: Date, inFlight: number, durable: boolean }
  | { event: 'maintenance-joined' | 'maintenance-updated', holder: string, by: string, reason?: string, until?: Date }
  | { event: 'maintenance-unchanged', mode: RecordState['mode'], by: string }
  | { event: 'maintenance-released', holder: string, by: string, remaining: string }
  | { event: 'maintenance-drained', tookMs: number }
  | { event: 'maintenance-overdue', holder: string, until: Date }
  | { event: 'maintenance-left', by: string, lastedMs: number, forced: boolean }
  | { event: 'leave-waiting' | 'leave-cancelled' | 'leave-joined', by: string }
  | { event: 'leave-refused', by: string, reason: string }
  | { event: 'drained-hook-failed', reason: string }
  | { event: 'record-unwritable', reason: string, survivesReboot: boolean }
  | { event: 'witness-failed', reason: string }
  | { event: 'record-written' }
  | { event: 'clock-set', movedMs: number }

/** Who enters, and what it says about it; what is left out stays as it was. */
export interface Entering {
  holder?: string
  by: string
  reason?: string
  message?: string
  /** Without `then` it stays what it was. */
  end?: Omit<End, 'then'> & Partial<Pick<End, 'then'>>
}

export interface Leaving {
  /** Whose claim ends; without it everybody's. */
  holder?: string
  by: string
  /** Whether to open without the reopening check. */
  force?: boolean
}

export interface OperatorStatus extends RecordState {
  drained: boolean
  inFlight: number
  /** Whether a restart of the machine would find the same mode. */
  durable: boolean
  /** Whether it would find why, too. */
  recorded: boolean
  /** Whether leaving waits for the application or the check. */
  leaving: boolean
}

/** Why a leave that waited does not go on, or the outcome of the one that took its place. */
type Interruption = string | Promise<string | undefined>

interface PendingLeave {
  names: readonly string[]
  abort: AbortController
  outcome: Promise<string | undefined>
}

const RECORD_RETRY_MS = 10_000

export class Operator {
  readonly #ports: OperatorPorts
  readonly #drain: DrainWatch
  readonly #ends: EndWatch
  #state: RecordState
  /** Where a restart finds the mode: in the record; in the lack of one, which means doubt; or nowhere. */
  #saved: 'written' | 'disowned' | 'nowhere' = 'written'
  #leaving: PendingLeave | undefined
  #stopped = false
  #cancelRetry = (): void => {}

  /** Takes over in a state that the record has told; {@link resume} goes on from there. */
  constructor (ports: OperatorPorts, state: RecordState) {
    this.#ports = ports
    this.#state = state
    const { application, clock, after, report } = ports
    this.#drain = new DrainWatch({
      inFlight: () => ports.switch.inFlight('maintenance'),
      runHooks: () => application.drained(),
      monotonicMs: () => clock.monotonicMs(),
      after,
      drained (tookMs, failures) {
        for (const reason of failures) report({ event: 'drained-hook-failed', reason })
        report({ event: 'maintenance-drained', tookMs })
      }
    })
    this.#ends = new EndWatch({
      holders: () => this.#state.holders,
      due: holder => this.#actOnEnd(holder),
      clockSet: (movedMs, endsMoved) => {
        if (endsMoved) this.#saveOrRetry()
        report({ event: 'clock-set', movedMs })
      },
      clock,
      after
    })
    ports.switch.mode = state.mode
  }

  /** Makes the state that was started in durable, and begins to watch what is in flight and the ends. */
  resume (): void {
    this.#saveOrRetry()
    if (!this.#isLive) this.#drain.start()
    this.#ends.look()
  }

  get status (): OperatorStatus {
    return {
      ...this.#state,
      drained: this.#drain.isOver,
      inFlight: this.#ports.switch.inFlight(this.#state.mode),
      durable: this.#saved !== 'nowhere',
      recorded: this.#saved === 'written',
      leaving: this.#leaving !== undefined
    }
  }

  /**
   * Enters maintenance in a holder's name; where it holds it already, changes what is given. It cannot fail: where the
   * record cannot be written maintenance is entered all the same, reported as not durable, and tried again.
   */
  enter ({ holder: name = OPERATOR, by, ...said }: Entering): Outcome {
    const { clock, report } = this.#ports
    const known = this.#state.holders.find(holder => holder.name === name)
    const told = { holder: name, by, ...said.reason !== undefined && { reason: said.reason }, ...said.end !== undefined && { until: said.end.at } }
    const claim: Holder = { ...known ?? { name, by, since: clock.now() }, ...said, end: undefined }
    // Whoever enters after the end wants more than it, and has named no other.
    const hasOutlived = known !== undefined && said.end === undefined && isOverdue(known, clock.now())
    if (said.end !== undefined) claim.end = { ...said.end, then: said.end.then ?? known?.end?.then ?? 'stay' }
    else if (!hasOutlived) claim.end = known?.end
    if (said.end !== undefined || hasOutlived) this.#ends.forget(name)
    // At the end of the list, as the newest: the public is told the newest message.
    const others = this.#state.holders.filter(holder => holder !== known)
    this.#state.holders = known === undefined || said.message !== undefined
      ? [...others, claim]
      : this.#state.holders.map(holder => holder === known ? claim : holder)
    this.#yieldTo(name, by)

    let outcome: Outcome = 'entered'
    if (!this.#isLive) {
      const hasChanged = known === undefined || hasOutlived || Object.keys(said).length > 0
      if (hasChanged || this.#saved !== 'written') this.#saveOrRetry()
      outcome = !hasChanged ? 'unchanged' : known === undefined ? 'joined' : 'updated'
      if (outcome === 'unchanged') report({ event: 'maintenance-unchanged', mode: this.#state.mode, by })
      else report({ event: outcome === 'joined' ? 'maintenance-joined' : 'maintenance-updated', ...told })
    } else {
      this.#state = { mode: 'maintenance', since: clock.now(), by, holders: this.#state.holders }
      this.#saveOrRetry()
      this.#ports.switch.mode = 'maintenance'
      const inFlight = this.#ports.switch.inFlight('maintenance')
      report({ event: 'maintenance-entered', ...told, inFlight, durable: this.status.durable })
      if (!this.#stopped) this.#drain.start()
    }
    if (!this.#stopped) this.#ends.look()
    return outcome
  }

  /**
   * Ends a holder's claim, or all of them. When none is left, leaves: as soon as the application serves and the
   * reopening check, if there is one, passes.
   * @returns undefined when it is done, or why it is not
   */
  async leave (leaving: Leaving): Promise<string | undefined> {
    const { by, holder } = leaving
    const names = this.#state.holders.map(({ name }) => name).filter(name => holder === undefined || name === holder)
    if (this.#isLive || names.length === 0) {
      this.#ports.report({ event: 'maintenance-unchanged', mode: this.#state.mode, by })
      return undefined
    }
    if (names.length < this.#state.holders.length) return this.#release(names, by)
    if (this.#leaving !== undefined && leaving.force !== true) {
      this.#ports.report({ event: 'leave-joined', by })
      return await this.#leaving.outcome
    }
    const superseded = this.#leaving
    const abort = new AbortController()
    const outcome = this.#open(leaving, abort.signal).finally(() => {
      if (this.#leaving?.abort === abort) this.#leaving = undefined
    })
    // What is done without waiting is not pending any more; what waits can be cancelled from here on.
    if (!this.#isLive && !this.#stopped) this.#leaving = { names, abort, outcome }
    // Who waited gets the answer of who did not.
    superseded?.abort.abort(outcome)
    return await outcome
  }

  /** Stops watching and leaving. Entering still works, for as long as the process lives. */
  stop (): void {
    this.#stopped = true
    if (this.#leaving !== undefined) this.#cancelLeave('stopping', 'the service is stopping')
    this.#drain.stop()
    this.#ends.stop()
    this.#cancelRetry()
  }

  async #open (leaving: Leaving, signal: AbortSignal): Promise<string | undefined> {
    const { application, check, report } = this.#ports
    const { by, force = false } = leaving
    if (this.#stopped) return this.#refuse(by, 'the service is stopping')
    if (!application.isServing()) {
      report({ event: 'leave-waiting', by })
      try {
        await application.whenServing(signal)
      } catch {
        return await (signal.reason as Interruption)
      }
    }
    if (check !== undefined && !force) {
      const saw = await check()
      if (!signal.aborted && saw !== undefined) return this.#refuse(by, `the reopening check failed: ${saw}`)
    }
    // Entering again may have come between an answer above and this line.
    return signal.aborted ? await (signal.reason as Interruption) : this.#setLive(by, force)
  }

  #setLive (by: string, forced: boolean): string | undefined {
    const { clock, record, report, witness } = this.#ports
    const closed = this.#state
    const open: RecordState = { mode: 'live', since: clock.now(), by, holders: [] }
    try {
      record.write(open)
    } catch (error) {
      // The write may have failed half-way, after the new record was in place: a restart must not find it.
      this.#saveOrRetry()
      return this.#refuse(by, `${messageOf(error)}; a restart would be in maintenance again`)
    }
    witness.clear()
    this.#drain.stop()
    this.#ends.stop()
    this.#cancelRetry()
    this.#saved = 'written'
    for (const { name } of closed.holders) this.#ends.forget(name)
    this.#leaving = undefined
    this.#state = open
    this.#ports.switch.mode = 'live'
    report({ event: 'maintenance-left', by, lastedMs: clock.now().getTime() - closed.since.getTime(), forced })
    return undefined
  }

  /** Ends some claims while others remain. */
  #release (names: readonly string[], by: string): string | undefined {
    const before = this.#state
    this.#state = { ...before, holders: before.holders.filter(({ name }) => !names.includes(name)) }
    this.#saveOrRetry()
    const remaining = this.#state.holders.map(({ name }) => name).join(', ')
    for (const name of names) {
      this.#ends.forget(name)
      this.#ports.report({ event: 'maintenance-released', holder: name, by, remaining })
    }
    return undefined
  }

  #refuse (by: string, reason: string): string {
    this.#ports.report({ event: 'leave-refused', by, reason })
    return reason
  }

  /** Entering cancels a leave that waits. Claims that it was to end and that are not this holder's are ended now. */
  #yieldTo (name: string, by: string): void {
    if (this.#leaving === undefined) return
    const others = this.#leaving.names.filter(leaving => leaving !== name)
    this.#cancelLeave(by, 'maintenance was asked for again meanwhile')
    if (others.length > 0) this.#release(others, by)
  }

  #cancelLeave (by: string, why: string): void {
    this.#leaving?.abort.abort(why satisfies Interruption)
    this.#leaving = undefined
    this.#ports.report({ event: 'leave-cancelled', by })
  }

  #saveOrRetry (): void {
    const { record, report, after } = this.#ports
    this.#cancelRetry()
    if (!this.#isLive) this.#bearWitness()
    const before = this.#saved
    try {
      record.write(this.#state)
      this.#saved = 'written'
      if (before !== 'written') report({ event: 'record-written' })
    } catch (error) {
      // What stands on the disk is older than the truth. It may say live, or name an end that was put off.
      this.#saved = !this.#isLive && record.disown() ? 'disowned' : 'nowhere'
      const survivesReboot = this.#saved === 'disowned'
      if (before !== this.#saved) report({ event: 'record-unwritable', reason: messageOf(error), survivesReboot })
      if (!this.#stopped) this.#cancelRetry = after(RECORD_RETRY_MS, () => this.#saveOrRetry())
    }
  }

  #bearWitness (): void {
    try {
      this.#ports.witness.set()
    } catch (error) {
      this.#ports.report({ event: 'witness-failed', reason: messageOf(error) })
    }
  }

  get #isLive (): boolean {
    return this.#state.mode === 'live'
  }

  #actOnEnd ({ name, end }: Holder): void {
    if (end === undefined) return
    if (end.then === 'stay') this.#ports.report({ event: 'maintenance-overdue', holder: name, until: end.at })
    else if (this.#leaving === undefined) this.leave({ holder: name, by: 'the end time', force: end.then === 'open' })
  }
}
