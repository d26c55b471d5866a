// One place in the pool: a worker thread, its replacement when it dies or hangs, and how it is doing.

import { closeSync } from 'node:fs'
import type { Switch } from '../maintenance/switch.ts'
import type { Answers, Question, ToWorker, WorkerData, WorkerRole } from '../worker-protocol.ts'
import { Deaths } from './deaths.ts'
import type { WorkerStatus } from './protocol.ts'
import { Pulse } from './pulse.ts'
import { toError, type StartThread, type WorkerThread } from './worker-thread.ts'

export interface SlotPorts {
  switch: Switch
  stuckTimeoutMs: number
  /** What a thread is started with. */
  workerData (role: WorkerRole, slot: number): WorkerData
  /** @returns a descriptor of the listening socket that the worker will own */
  duplicateListener (): number
  report (event: WorkerEvent): void
  startThread: StartThread
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

export class WorkerSlot {
  readonly role: WorkerRole
  readonly number: number
  readonly #ports: SlotPorts
  readonly deaths = new Deaths()
  #state: WorkerStatus['state'] = 'down'
  #thread: WorkerThread | undefined
  #pulse = new Pulse(performance.now())
  /** What its beats were when it was found to be stuck. */
  #beatsWhenStuck = 0
  /** Whether its thread is being ended: it may beat yet, and is beyond help. */
  #isGivenUp = false
  #offeredFd: number | undefined
  #servingSinceMs: number | undefined

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

  get status (): WorkerStatus {
    return {
      worker: this.number,
      role: this.role,
      state: this.#state,
      inFlight: this.#inFlight,
      silentMs: this.isEmpty ? 0 : Math.round(this.#silentMs(performance.now()))
    }
  }

  /** Starts a thread, unless there is one. One that cannot be started has died. */
  start (): void {
    this.deaths.cancelRetry()
    if (this.#thread !== undefined) return
    this.#state = 'loading'
    this.#isGivenUp = false
    this.#pulse = new Pulse(performance.now())
    try {
      this.#thread = this.#ports.startThread(this.#ports.workerData(this.role, this.number), {
        ready: () => this.#offer(),
        serving: () => {
          if (!this.#isLoading) return
          this.#state = 'serving'
          this.#servingSinceMs = performance.now()
          this.#ports.report({ event: 'worker-serving', worker: this.number, role: this.role })
          this.#ports.changed()
        },
        ended: error => this.#ended(error)
      })
    } catch (error) {
      // No thread is left, or no memory: with EAGAIN, pthread_create(3).
      this.#ended(toError(error))
    }
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
    this.deaths.cancelRetry()
    if (this.#thread === undefined || this.#state === 'closing') return
    // Without the socket it has nothing to finish. With it, it may have accepted somebody already.
    const hasSocket = this.#offeredFd !== undefined
    this.#state = 'closing'
    if (hasSocket) this.#thread.tell({ type: 'close', graceMs })
    else this.#thread.terminate()
  }

  /** Ends the thread wherever it is. */
  terminate (): void {
    this.#thread?.terminate()
  }

  /** For so long the whole process was stopped, or starved: that says nothing about the worker. */
  wasAsleep (ms: number): void {
    this.#pulse.excuse(ms)
  }

  /** Feels the pulse: a worker that is silent is reported, and in the end replaced. */
  feel (nowMs: number): void {
    if (this.#thread === undefined || this.#isGivenUp) return
    const beats = this.#ports.switch.beats(this.number)
    const silentMs = Math.round(this.#silentMs(nowMs))
    const about = { worker: this.number, inFlight: this.#inFlight, silentMs }
    if (this.#state === 'serving' && silentMs >= STUCK_AFTER_MS) {
      this.#state = 'stuck'
      this.#beatsWhenStuck = beats
      this.#ports.report({ event: 'worker-stuck', ...about })
    } else if (this.#state === 'stuck' && beats !== this.#beatsWhenStuck) {
      this.#state = 'serving'
      this.#ports.report({ event: 'worker-recovered', worker: this.number })
    }
    if (silentMs >= this.#ports.stuckTimeoutMs) {
      this.#isGivenUp = true
      this.#ports.report({ event: 'worker-replaced', ...about })
      this.#thread.terminate(new Error(`it had not answered for ${silentMs} ms`))
    }
  }

  get #isLoading (): boolean {
    return this.#state === 'loading' && !this.#isGivenUp
  }

  #offer (): void {
    if (!this.#isLoading) return
    try {
      this.#offeredFd = this.#ports.duplicateListener()
      this.#thread?.tell({ type: 'listen', fd: this.#offeredFd })
    } catch (error) {
      this.#thread?.terminate(error)
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
    if (!wasClosing) this.#retry(error ?? new Error('its thread was ended by the application (process.exit)'), inFlight)
    this.#ports.changed()
  }

  #retry (err: Error, inFlight: number): void {
    const servedMs = this.#servingSinceMs === undefined ? 0 : performance.now() - this.#servingSinceMs
    this.#servingSinceMs = undefined
    const retryMs = this.deaths.add(err, servedMs, () => this.start())
    this.#ports.report({ event: 'worker-died', worker: this.number, role: this.role, inFlight, retryMs, err })
  }
}
