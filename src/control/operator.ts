// The operator: the one state machine through which everything enters and leaves maintenance. It is pure: what it
// acts on, the clock and the timers are passed in, so signals, the control socket or a test drive the same code.

import type { Mode } from '../maintenance/switch.ts'
import { messageOf } from '../errors.ts'
import { DrainWatch } from './drain-watch.ts'
import { EndWatch } from './end-watch.ts'
import { claim, type Holder, type Said } from './holders.ts'
import { Keeper, type KeeperEvent, type KeeperPorts } from './keeper.ts'
import { Leave, type Interruption, type LeaveEvent, type LeavePorts } from './leave.ts'
import { OPERATOR, STOPPING, type Outcome } from './protocol.ts'
import type { RecordState } from './record-format.ts'

export interface OperatorPorts extends Pick<KeeperPorts, 'record' | 'witness' | 'after'>, Pick<LeavePorts, 'check'> {
  switch: {
    mode: Mode
    /** What is in flight that the mode would refuse. */
    inFlight (mode: Mode): number
  }
  application: LeavePorts['application'] & {
    /** Lets the application put away what it holds of the database. @returns what failed */
    drained (): Promise<readonly string[]>
  }
  clock: { now (): Date, monotonicMs (): number }
  report (event: OperatorEvent): void
}

export type OperatorEvent =
  | KeeperEvent
  | LeaveEvent
  | { event: 'maintenance-entered', holder: string, by: string, reason?: string, until?: Date, inFlight: number, durable: boolean }
  | { event: 'maintenance-joined' | 'maintenance-updated', holder: string, by: string, reason?: string, until?: Date }
  | { event: 'maintenance-unchanged', mode: RecordState['mode'], by: string }
  | { event: 'maintenance-released', holder: string, by: string, remaining: string }
  | { event: 'maintenance-drained', tookMs: number }
  | { event: 'maintenance-overdue', holder: string, until: Date }
  | { event: 'maintenance-left', by: string, lastedMs: number, forced: boolean }
  | { event: 'leave-cancelled' | 'leave-joined', by: string }
  | { event: 'drained-hook-failed', reason: string }
  | { event: 'clock-set', movedMs: number }

/** Who enters, and what it says about it. */
export interface Entering extends Said {
  holder?: string
  by: string
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

export class Operator {
  readonly #ports: OperatorPorts
  readonly #drain: DrainWatch
  readonly #ends: EndWatch
  readonly #keeper: Keeper
  #state: RecordState
  #leaving: Leave | undefined
  #stopped = false

  /** Takes over in a state that the record has told; {@link resume} goes on from there. */
  constructor (ports: OperatorPorts, state: RecordState) {
    this.#ports = ports
    this.#state = state
    this.#keeper = new Keeper(ports)
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
        if (endsMoved) this.#keeper.keep(this.#state)
        report({ event: 'clock-set', movedMs })
      },
      clock,
      after
    })
    ports.switch.mode = state.mode
  }

  /** Makes the state that was started in durable, and begins to watch what is in flight and the ends. */
  resume (): void {
    this.#keeper.resume(this.#state)
    if (!this.#isLive) this.#drain.start()
    this.#ends.look()
  }

  get status (): OperatorStatus {
    return {
      ...this.#state,
      drained: this.#drain.isOver,
      inFlight: this.#ports.switch.inFlight(this.#state.mode),
      durable: this.#keeper.isDurable,
      recorded: this.#keeper.isRecorded,
      leaving: this.#leaving !== undefined
    }
  }

  /**
   * Enters maintenance in a holder's name; where it holds it already, changes what is given. It cannot fail: where the
   * record cannot be written maintenance is entered all the same, reported as not durable, and tried again.
   */
  enter ({ holder: name = OPERATOR, by, ...said }: Entering): Outcome {
    const { clock, report } = this.#ports
    const told = { holder: name, by, ...said.reason !== undefined && { reason: said.reason }, ...said.end !== undefined && { until: said.end.at } }
    const { holders, outcome, endChanged } = claim(this.#state.holders, name, by, said, clock.now())
    if (endChanged) this.#ends.forget(name)
    this.#state.holders = holders
    this.#yieldTo(name, by)

    const wasLive = this.#isLive
    if (wasLive) {
      this.#state = { mode: 'maintenance', since: clock.now(), by, holders: this.#state.holders }
      this.#keeper.keep(this.#state)
      this.#ports.switch.mode = 'maintenance'
      const inFlight = this.#ports.switch.inFlight('maintenance')
      report({ event: 'maintenance-entered', ...told, inFlight, durable: this.status.durable })
      if (!this.#stopped) this.#drain.start()
    } else {
      if (outcome !== 'unchanged' || !this.#keeper.isRecorded) this.#keeper.keep(this.#state)
      if (outcome === 'unchanged') report({ event: 'maintenance-unchanged', mode: this.#state.mode, by })
      else report({ event: outcome === 'joined' ? 'maintenance-joined' : 'maintenance-updated', ...told })
    }
    if (!this.#stopped) this.#ends.look()
    return wasLive ? 'entered' : outcome
  }

  /**
   * Ends a holder's claim, or all of them. When none is left, leaves: as soon as the application serves and the
   * reopening check, if there is one, passes.
   * @returns undefined when it is done, or why it is not
   */
  async leave ({ by, holder, force = false }: Leaving): Promise<string | undefined> {
    const names = this.#state.holders.map(({ name }) => name).filter(name => holder === undefined || name === holder)
    if (this.#isLive || names.length === 0) {
      this.#ports.report({ event: 'maintenance-unchanged', mode: this.#state.mode, by })
      return undefined
    }
    if (names.length < this.#state.holders.length) return this.#release(names, by)
    if (this.#stopped) {
      this.#ports.report({ event: 'leave-refused', by, reason: STOPPING })
      return STOPPING
    }
    const superseded = this.#leaving
    if (superseded !== undefined && !force) {
      this.#ports.report({ event: 'leave-joined', by })
      return await superseded.outcome
    }
    const { application, check, report } = this.#ports
    const leave = new Leave({ application, check, report }, { names, by, force, open: () => this.#open(by, force) })
    // What is done without waiting is not pending any more; what waits can be interrupted from here on.
    if (!this.#isLive) this.#leaving = leave
    // Who waited gets the answer of who did not.
    superseded?.interrupt(leave.outcome)
    try {
      return await leave.outcome
    } finally {
      if (this.#leaving === leave) this.#leaving = undefined
    }
  }

  /** Stops watching and leaving. Entering still works, for as long as the process lives. */
  stop (): void {
    this.#stopped = true
    if (this.#leaving !== undefined) this.#cancelLeave('stopping', STOPPING)
    this.#drain.stop()
    this.#ends.stop()
    this.#keeper.stop()
  }

  #open (by: string, forced: boolean): string | undefined {
    const { clock, report } = this.#ports
    const closed = this.#state
    const open: RecordState = { mode: 'live', since: clock.now(), by, holders: [] }
    try {
      this.#keeper.open(open, closed)
    } catch (error) {
      const reason = `${messageOf(error)}; a restart would be in maintenance again`
      report({ event: 'leave-refused', by, reason })
      return reason
    }
    this.#drain.stop()
    this.#ends.stop()
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
    this.#keeper.keep(this.#state)
    const remaining = this.#state.holders.map(({ name }) => name).join(', ')
    for (const name of names) {
      this.#ends.forget(name)
      this.#ports.report({ event: 'maintenance-released', holder: name, by, remaining })
    }
    return undefined
  }

  /** Entering interrupts a leave that waits. Claims that it was to end and that are not this holder's are ended now. */
  #yieldTo (name: string, by: string): void {
    if (this.#leaving === undefined) return
    const { names } = this.#leaving
    const others = this.#state.holders.map(holder => holder.name).filter(other => other !== name && names.includes(other))
    this.#cancelLeave(by, 'maintenance was asked for again meanwhile')
    if (others.length > 0) this.#release(others, by)
  }

  #cancelLeave (by: string, why: Interruption): void {
    this.#leaving?.interrupt(why)
    this.#leaving = undefined
    this.#ports.report({ event: 'leave-cancelled', by })
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
