// The operator with everything that it acts on made of plain values: a switch, a disk that fails on request, an
// application that serves when told to, and a clock that only a test moves.

import { Operator, type OperatorEvent, type OperatorPorts } from '../../src/control/operator.ts'
import type { RecordState } from '../../src/control/record-format.ts'
import type { Mode } from '../../src/maintenance/switch.ts'

/** How the disk fails: not at all, before anything is written, or when the new record is already in place. */
export type DiskFailure = 'none' | 'before' | 'after'

export interface RigOptions {
  state?: RecordState
  isServing?: boolean
  /** What the reopening check sees; undefined: there is no check. */
  check?: (signal: AbortSignal) => Promise<string | undefined>
}

interface Timer {
  atMs: number
  callback: () => void
}

const START = Date.UTC(2026, 0, 1)

export function live (): RecordState {
  return { mode: 'live', since: new Date(START - 1000), by: 'test', holders: [] }
}

export function inMaintenance (): RecordState {
  const since = new Date(START - 1000)
  return { mode: 'maintenance', since, by: 'test', holders: [{ name: 'operator', by: 'test', since }] }
}

export class Rig {
  readonly operator: Operator
  readonly events: OperatorEvent[] = []
  /** What happens to the world, in order: writes that took, and modes that were set. */
  readonly deeds: string[] = []
  mode: Mode = 'live'
  inFlight = 0
  /** undefined: set aside, so that a restart is in doubt. */
  disk: RecordState | undefined
  diskFailure: DiskFailure = 'none'
  hasWitness = false
  /** What the application's hooks answer; they can be made to take longer. */
  hooks = async (): Promise<readonly string[]> => []
  /** Called at every deed and every event, while the operator is in the middle of what it does. */
  watch = (_what: string): void => {}
  /** What goes wrong where the application is waited for. */
  waitFailure: Error | undefined
  #isServing: boolean
  #waiters = new Set<() => void>()
  /** Whether the old record can be set aside where it cannot be written. */
  canDisown = false
  #timers = new Set<Timer>()
  #nowMs = 0

  constructor ({ state = live(), isServing = true, check }: RigOptions = {}) {
    this.#isServing = isServing
    this.disk = structuredClone(state)
    const rig = this
    const ports: OperatorPorts = {
      switch: {
        get mode () { return rig.mode },
        set mode (mode) {
          rig.mode = mode
          rig.#did(`switch ${mode}`)
        },
        inFlight: () => rig.inFlight
      },
      record: { write: state => this.#write(state), holds: state => this.#holds(state), disown: () => this.#disown() },
      witness: {
        set: () => { this.hasWitness = true },
        clear: () => { this.hasWitness = false }
      },
      application: {
        isServing: () => this.#isServing,
        whenServing: async signal => await this.#whenServing(signal),
        drained: async () => await this.hooks()
      },
      check,
      clock: {
        now: () => new Date(START + this.#nowMs),
        // No two readings are the same, as on a real machine.
        monotonicMs: () => { this.#nowMs += 0.0001; return this.#nowMs }
      },
      after: (delayMs, callback) => {
        const timer = { atMs: this.#nowMs + delayMs, callback }
        this.#timers.add(timer)
        return () => this.#timers.delete(timer)
      },
      report: event => {
        this.events.push(event)
        this.watch(event.event)
      }
    }
    this.operator = new Operator(ports, structuredClone(state))
  }

  get isServing (): boolean {
    return this.#isServing
  }

  get timers (): number {
    return this.#timers.size
  }

  names (): string[] {
    return this.events.map(({ event }) => event)
  }

  count (event: OperatorEvent['event']): number {
    return this.events.filter(each => each.event === event).length
  }

  last (event: OperatorEvent['event']): OperatorEvent | undefined {
    return this.events.findLast(each => each.event === event)
  }

  /** Lets a request in, if the switch does. */
  admit (): void {
    if (this.mode === 'live') this.inFlight++
  }

  finish (): void {
    if (this.inFlight > 0) this.inFlight--
  }

  setServing (isServing: boolean): void {
    this.#isServing = isServing
    for (const look of this.#waiters) look()
  }

  /** Moves the clock, firing what comes due in order. */
  async advance (ms: number): Promise<void> {
    await settle()
    const end = this.#nowMs + ms
    for (;;) {
      const [next] = [...this.#timers].sort((a, b) => a.atMs - b.atMs)
      if (next === undefined || next.atMs > end) break
      this.#timers.delete(next)
      this.#nowMs = Math.max(this.#nowMs, next.atMs)
      next.callback()
      await settle()
    }
    this.#nowMs = Math.max(this.#nowMs, end)
  }

  #write (state: RecordState): void {
    if (this.diskFailure === 'before') throw new Error('no space left')
    this.disk = structuredClone(state)
    this.#did(`record ${state.mode}`)
    if (this.diskFailure === 'after') throw new Error('the directory cannot be synced')
  }

  #holds (state: RecordState): boolean {
    return this.diskFailure !== 'after' && JSON.stringify(this.disk) === JSON.stringify(state)
  }

  #disown (): boolean {
    if (this.canDisown) this.disk = undefined
    return this.canDisown
  }

  #did (deed: string): void {
    this.deeds.push(deed)
    this.watch(deed)
  }

  async #whenServing (signal: AbortSignal): Promise<void> {
    if (this.waitFailure !== undefined) throw this.waitFailure
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        if (!signal.aborted && !this.#isServing) return
        this.#waiters.delete(look)
        if (signal.aborted) reject(signal.reason)
        else resolve()
      }
      this.#waiters.add(look)
      signal.addEventListener('abort', look, { once: true })
      look()
    })
  }
}

/** Lets everything that only waits for promises happen. */
export async function settle (): Promise<void> {
  await new Promise(resolve => setImmediate(resolve))
}
