// The worker pool: as many application workers as configured, and a stand-in that serves the page while maintenance is
// on and none of them can.

import { ServiceError, messageOf } from '../errors.ts'
import type { Notice } from '../maintenance/responses.ts'
import { TERMINATE_AFTER_MS } from '../stopping.ts'
import { within } from '../within.ts'
import type { WorkerData } from '../worker-protocol.ts'
import { MOST_STRAGGLERS, type NamedStraggler, type Straggler, type UnansweredWorker, type WorkerStatus } from './protocol.ts'
import { WorkerSlot, type SlotPorts } from './worker-slot.ts'

export interface PoolOptions extends Pick<SlotPorts, 'switch' | 'stuckTimeoutMs' | 'duplicateListener' | 'startThread' | 'report'> {
  /** Application workers; the switch needs one slot more, for the stand-in. */
  size: number
  notice: Notice
  config: WorkerData['config']
  /** Live, and the application keeps dying: there is nothing to serve. */
  giveUp (error: ServiceError): void
}

const TICK_MS = 500
// Two beats.
const ANSWERS_MS = 1_000
const MOST_FAILURES = 5
// The stand-in's answers take no time: this is for connections that were just accepted.
const STAND_IN_GRACE_MS = 5_000
// A worker that does not answer so soon hangs, and is named as such.
const ASK_MS = 250
const DRAINED_HOOKS_MS = 10_000

export class WorkerPool {
  readonly #options: PoolOptions
  readonly #applications: readonly WorkerSlot[]
  readonly #standIn: WorkerSlot
  readonly #slots: readonly WorkerSlot[]
  readonly #ticker: NodeJS.Timeout
  readonly #waiting = new Set<() => void>()
  #notice: Notice
  #phase: 'new' | 'running' | 'closing' = 'new'
  #lastTickMs = performance.now()
  #lastServingMs = performance.now()

  constructor (options: PoolOptions) {
    this.#options = options
    this.#notice = options.notice
    const { config, switch: { memory } } = options
    const ports: SlotPorts = {
      ...options,
      workerData: (role, slot) => ({ role, slot, memory, notice: this.#notice, config }),
      changed: () => this.#changed()
    }
    this.#applications = Array.from({ length: options.size }, (_, number) => new WorkerSlot('application', number, ports))
    this.#standIn = new WorkerSlot('stand-in', options.size, ports)
    this.#slots = [...this.#applications, this.#standIn]
    this.#ticker = setInterval(() => this.#tick(), TICK_MS)
  }

  /** Starts the workers. @returns when requests are served, by the application or, in maintenance, at all */
  async start (): Promise<void> {
    this.#phase = 'running'
    if (!this.#isLive) {
      // The application may take the processor for a while; the page comes first.
      this.#standIn.start()
      await this.#until(() => this.#standIn.state === 'serving' || this.#isLive)
    }
    for (const slot of this.#applications) slot.start()
    await this.#until(() => this.#slots.some(serves))
  }

  /** To be called when the mode has changed: the page may need a stand-in, or no longer. */
  modeChanged (): void {
    // What failed during maintenance, when the database may have been away, says nothing about now.
    if (this.#isLive) for (const slot of this.#applications) slot.deaths.forgive()
    this.#arrangeStandIn()
  }

  setNotice (notice: Notice): void {
    this.#notice = notice
    for (const slot of this.#slots) slot.tell({ type: 'notice', notice })
  }

  isServing (): boolean {
    return this.#applications.every(serves)
  }

  /** Resolves when every application worker serves; those that wait for another try get it now. */
  async whenServing (signal: AbortSignal): Promise<void> {
    for (const slot of this.#applications) {
      if (slot.deaths.isRetrying) slot.start()
    }
    await this.#until(() => this.isServing(), signal)
  }

  /** Whether somebody serves, or has until a replacement could be expected: what the watchdog is told. */
  isHealthy (): boolean {
    return performance.now() - this.#lastServingMs < 2 * this.#options.stuckTimeoutMs
  }

  /** Every worker as it is now; a stand-in that is not there is left out. */
  get workers (): WorkerStatus[] {
    return this.#slots.filter(({ role, isEmpty }) => role === 'application' || !isEmpty).map(({ status }) => status)
  }

  /** How often a worker died or hung and had to be replaced. */
  get replacements (): number {
    return this.#slots.reduce((sum, { deaths }) => sum + deaths.total, 0)
  }

  /** The workers that do not answer, with how many they have in flight, and the oldest of what the others have. */
  async stragglers (): Promise<Straggler[]> {
    const unanswered: UnansweredWorker[] = []
    const named: NamedStraggler[] = []
    await Promise.all(this.#applications.map(async slot => {
      const list = await slot.ask('list', ASK_MS)
      const { worker, inFlight, silentMs } = slot.status
      if (list !== undefined) named.push(...list.map(entry => ({ worker, ...entry })))
      else if (inFlight > 0) unanswered.push({ worker, inFlight, silentMs: Math.max(silentMs, ASK_MS) })
    }))
    return [...unanswered, ...named.sort((a, b) => b.ageMs - a.ageMs).slice(0, MOST_STRAGGLERS)]
  }

  /** Runs the application's hooks for when nothing is in flight. @returns what failed */
  async drained (): Promise<string[]> {
    const failures = await Promise.all(this.#applications.map(({ number }) => this.putAway(number)))
    return failures.flat()
  }

  /** The same, of one worker. */
  async putAway (worker: number): Promise<string[]> {
    const slot = this.#applications[worker]
    // What has not loaded has nothing to put away; it is asked when it has.
    if (slot === undefined || (slot.state !== 'serving' && slot.state !== 'stuck')) return []
    const failed = await slot.ask('drained', DRAINED_HOOKS_MS) ?? ['no answer in time']
    return failed.map(reason => `worker ${worker}: ${reason}`)
  }

  /** Closes the connections of what is in flight. @returns how many */
  async cut (): Promise<number> {
    const counts = await Promise.all(this.#applications.map(slot => slot.ask('cut', ASK_MS)))
    return counts.reduce<number>((sum, count = 0) => sum + count, 0)
  }

  /** Closes every worker, at the latest when the grace is over. */
  async close (graceMs: number): Promise<void> {
    this.#phase = 'closing'
    clearInterval(this.#ticker)
    for (const slot of this.#slots) slot.close(graceMs)
    const gone = this.#until(() => this.#slots.every(({ isEmpty }) => isEmpty))
    await within(graceMs + TERMINATE_AFTER_MS, gone)
    for (const slot of this.#slots) slot.terminate()
    await gone
  }

  get #isLive (): boolean {
    return this.#options.switch.mode === 'live'
  }

  #tick (): void {
    const now = performance.now()
    const lateMs = now - this.#lastTickMs - TICK_MS
    if (lateMs > TICK_MS) for (const slot of this.#slots) slot.wasAsleep(lateMs)
    this.#lastTickMs = now
    for (const slot of this.#slots) slot.feel(now)
    this.#changed()
  }

  #changed (): void {
    if (this.#slots.some(serves)) this.#lastServingMs = performance.now()
    this.#giveUpIfHopeless()
    this.#arrangeStandIn()
    // Whoever waits for something looks whether it has come.
    for (const look of this.#waiting) look()
  }

  #giveUpIfHopeless (): void {
    if (this.#phase !== 'running' || !this.#isLive) return
    for (const { deaths: { inRow, lastError } } of this.#applications) {
      if (inRow < MOST_FAILURES) continue
      this.#phase = 'closing'
      this.#options.giveUp(new ServiceError('ERR_APP_DYING',
        `the application died ${inRow} times in a row, last of: ${messageOf(lastError)}`, lastError))
      return
    }
  }

  // While maintenance is on and no application worker answers, new connections have nobody else to go to.
  #arrangeStandIn (): void {
    if (this.#phase !== 'running') return
    const isNeeded = !this.#isLive && !this.#applications.some(answers)
    // One that has not got the socket yet never gets it.
    if (!isNeeded) this.#standIn.close(STAND_IN_GRACE_MS)
    else if (this.#standIn.isEmpty && !this.#standIn.deaths.isRetrying) this.#standIn.start()
  }

  async #until (isTrue: () => boolean, signal?: AbortSignal): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        if (signal?.aborted !== true && !isTrue()) return
        this.#waiting.delete(look)
        if (signal?.aborted === true) reject(signal.reason)
        else resolve()
      }
      this.#waiting.add(look)
      signal?.addEventListener('abort', look, { once: true })
      look()
    })
  }
}

// One that blocks is reported as stuck only later, but whoever comes now wants the page.
function answers ({ state, status: { silentMs } }: WorkerSlot): boolean {
  return state === 'serving' && silentMs < ANSWERS_MS
}

function serves ({ state }: WorkerSlot): boolean {
  return state === 'serving'
}
