// One place in the pool: a worker thread, its replacement when it dies or hangs, and how it is doing.

import { closeSync } from 'node:fs'
import type { Switch } from '../maintenance/switch.ts'
import type { Answers, Question, ToWorker, WorkerData, WorkerRole } from '../worker-protocol.ts'
import type { WorkerStatus } from './protocol.ts'
import { Pulse } from './pulse.ts'
import { startThread, type WorkerThread } from './worker-thread.ts'

export interface SlotPorts {
  switch: Switch
  stuckTimeoutMs: number
  /** What a thread is started with. */
  workerData (role: WorkerRole, slot: number): WorkerData
  /** @returns a descriptor of the listening socket that the worker will own */
  duplicateListener (): number
  report (event: WorkerEvent): void
  /** The state has changed. */
  changed (): void
}

export type WorkerEvent =
  | { event: 'worker-serving', worker: number, role: WorkerRole }
  | { event: 'worker-died', worker: number, role: WorkerRole, inFlight: number, retryMs: number, err: Error }
  | { event: 'worker-stuck', worker: number, inFlight: number, silentMs: number }
  | { event: 'worker-recovered', worker: number }
  | { event: 'worker-replaced', worker: number, inFlight: number, silentMs: number }

const STUCK_AFTER_MS = 3_000
const FIRST_RETRY_MS = 500
const LONGEST_RETRY_MS = 30_000
// A worker that served for so long was well.
const STABLE_MS = 60_000

export class WorkerSlot {
  readonly role: WorkerRole
  readonly number: number
  readonly #ports: SlotPorts
  readonly #pulse = new Pulse()
  #state: WorkerStatus['state'] = 'down'
  #thread: WorkerThread | undefined
  #retry: NodeJS.Timeout | undefined
  #offeredFd: number | undefined
  #servingSinceMs = 0
  #failures = 0
  #deaths = 0
  #lastError: Error | undefined

  constructor (role: WorkerRole, number: number, ports: SlotPorts) {
    this.role = role
    this.number = number
    this.#ports = ports
  }

  get state (): WorkerStatus['state'] {
    return this.#state
  }

  get isEmpty (): boolean {
    return this.#thread === undefined
  }

  /** Whether a next try is waited for. */
  get isRetrying (): boolean {
    return this.#retry !== undefined
  }

  /** Deaths in a row, each soon after the one before, and what the last one died of. */
  get failures (): { count: number, lastError: Error | undefined } {
    return { count: this.#failures, lastError: this.#lastError }
  }

  /** How often a worker died here, in all. */
  get deaths (): number {
    return this.#deaths
  }

  get status (): WorkerStatus {
    return {
      worker: this.number,
      role: this.role,
      state: this.#state,
      inFlight: this.#inFlight,
      silentMs: this.isEmpty ? 0 : Math.round(this.#silentMs(performance.now()))
    }
  }

  /** Starts a thread, unless there is one. */
  start (): void {
    this.#cancelRetry()
    if (this.#thread !== undefined) return
    this.#state = 'loading'
    this.#pulse.reset(performance.now())
    const thread = this.#thread = startThread(this.#ports.workerData(this.role, this.number), {
      ready: () => {
        if (this.#state !== 'loading') return
        try {
          this.#offeredFd = this.#ports.duplicateListener()
          thread.tell({ type: 'listen', fd: this.#offeredFd })
        } catch (error) {
          thread.terminate(error)
        }
      },
      serving: () => {
        if (this.#state !== 'loading') return
        this.#state = 'serving'
        this.#servingSinceMs = performance.now()
        this.#ports.report({ event: 'worker-serving', worker: this.number, role: this.role })
        this.#ports.changed()
      },
      ended: error => this.#ended(error)
    })
  }

  tell (message: ToWorker): void {
    this.#thread?.tell(message)
  }

  /** @returns the answer, or undefined where none comes in time */
  async ask<Q extends Question> (question: Q, timeoutMs: number): Promise<Answers[Q] | undefined> {
    return await this.#thread?.ask(question, timeoutMs)
  }

  /** Closes the worker for good, within the grace. */
  close (graceMs: number): void {
    this.#cancelRetry()
    if (this.#thread === undefined || this.#state === 'closing') return
    const hasNothingToFinish = this.#state === 'loading'
    this.#state = 'closing'
    if (hasNothingToFinish) this.#thread.terminate()
    else this.#thread.tell({ type: 'close', graceMs })
  }

  /** Ends the thread wherever it is. */
  terminate (): void {
    this.#thread?.terminate()
  }

  /** Counts deaths in a row from zero. */
  forgive (): void {
    this.#failures = 0
  }

  /** The whole process was stopped, or starved: that says nothing about the worker. */
  wasAsleep (): void {
    this.#pulse.reset(performance.now())
  }

  /** Feels the pulse: a worker that is silent is reported, and in the end replaced. */
  feel (): void {
    if (this.#thread === undefined) return
    const silentMs = Math.round(this.#silentMs(performance.now()))
    const about = { worker: this.number, inFlight: this.#inFlight, silentMs }
    if (this.#state === 'serving' && silentMs >= STUCK_AFTER_MS) {
      this.#state = 'stuck'
      this.#ports.report({ event: 'worker-stuck', ...about })
    } else if (this.#state === 'stuck' && silentMs < STUCK_AFTER_MS) {
      this.#state = 'serving'
      this.#ports.report({ event: 'worker-recovered', worker: this.number })
    }
    if (silentMs >= this.#ports.stuckTimeoutMs && this.#state !== 'closing') {
      this.#ports.report({ event: 'worker-replaced', ...about })
      this.#pulse.reset(performance.now())
      this.#thread.terminate(new Error(`it had not answered for ${silentMs} ms`))
    }
  }

  get #inFlight (): number {
    return this.#ports.switch.inFlight('maintenance', this.number)
  }

  #silentMs (nowMs: number): number {
    return this.#pulse.silentMs(this.#ports.switch.beats(this.number), nowMs)
  }

  #ended (error: Error | undefined): void {
    const inFlight = this.#inFlight
    const wasClosing = this.#state === 'closing'
    // A descriptor that the thread did not live to make its own would stay open for ever.
    if (this.#offeredFd !== undefined && !this.#ports.switch.hasAdopted(this.number)) closeSync(this.#offeredFd)
    this.#offeredFd = undefined
    this.#ports.switch.forget(this.number)
    this.#thread = undefined
    this.#state = 'down'
    if (!wasClosing) this.#retryAfter(error ?? new Error('its thread was ended by the application (process.exit)'), inFlight)
    this.#ports.changed()
  }

  #retryAfter (err: Error, inFlight: number): void {
    const served = this.#servingSinceMs > 0 && performance.now() - this.#servingSinceMs > STABLE_MS
    this.#failures = served ? 1 : this.#failures + 1
    this.#servingSinceMs = 0
    this.#deaths++
    this.#lastError = err
    // The first time is without delay: a single crash should not be felt.
    const retryMs = this.#failures === 1 ? 0 : Math.min(FIRST_RETRY_MS * 2 ** (this.#failures - 2), LONGEST_RETRY_MS)
    this.#retry = setTimeout(() => this.start(), retryMs)
    this.#ports.report({ event: 'worker-died', worker: this.number, role: this.role, inFlight, retryMs, err })
  }

  #cancelRetry (): void {
    clearTimeout(this.#retry)
    this.#retry = undefined
  }
}
