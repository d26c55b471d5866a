// The worker pool: as many application workers as configured, replaced when they die or hang, and a stand-in that
// serves the page while maintenance is on and none of them can.

import { setTimeout as sleep } from 'node:timers/promises'
import { ServiceError, messageOf } from '../errors.ts'
import type { Notice } from '../maintenance/responses.ts'
import type { Switch } from '../maintenance/switch.ts'
import type { Straggler, WorkerStatus } from './protocol.ts'
import type { WorkerData, WorkerRole } from '../worker-protocol.ts'
import { Pulse } from './pulse.ts'
import { startThread, type WorkerThread } from './worker-thread.ts'

export interface PoolOptions {
  switch: Switch
  /** Application workers; the switch needs one slot more, for the stand-in. */
  size: number
  /** @returns a descriptor of the listening socket that the worker will own */
  duplicateListener (): number
  notice: Notice
  config: WorkerData['config']
  /** How long a worker may go without answering before it is replaced. */
  stuckTimeoutMs: number
  report (event: PoolEvent): void
  /** Live, and the application keeps dying: there is nothing to serve. */
  giveUp (error: ServiceError): void
}

export type PoolEvent =
  | { event: 'worker-serving', worker: number, role: WorkerRole }
  | { event: 'worker-died', worker: number, role: WorkerRole, inFlight: number, retryMs: number, err: Error }
  | { event: 'worker-stuck', worker: number, inFlight: number, silentMs: number }
  | { event: 'worker-recovered', worker: number }
  | { event: 'worker-replaced', worker: number, inFlight: number, silentMs: number }

type State = WorkerStatus['state']

interface Member {
  readonly slot: number
  readonly role: WorkerRole
  readonly pulse: Pulse
  state: State
  thread: WorkerThread | undefined
  /** Deaths in a row, each soon after the one before. */
  failures: number
  servingSinceMs: number
  retry: NodeJS.Timeout | undefined
}

const TICK_MS = 500
const STUCK_AFTER_MS = 3_000
const FIRST_RETRY_MS = 500
const LONGEST_RETRY_MS = 30_000
const MOST_FAILURES = 5
// A worker that served for so long was well.
const STABLE_MS = 60_000
// Its answers take no time: this is for connections that were just accepted.
const STAND_IN_GRACE_MS = 5_000
// How long ending the threads may take once their grace is over.
const TERMINATE_MS = 1_000
// A worker that does not answer so soon hangs, and is named as such.
const LIST_MS = 250
const MOST_STRAGGLERS = 20
const DRAINED_HOOKS_MS = 10_000

export class WorkerPool {
  readonly #options: PoolOptions
  readonly #applications: readonly Member[]
  readonly #standIn: Member
  readonly #ticker: NodeJS.Timeout
  #notice: Notice
  #waiting = new Set<() => void>()
  #started = false
  #closing = false
  #replacements = 0
  #lastTickMs = performance.now()
  #lastServingMs = performance.now()

  constructor (options: PoolOptions) {
    this.#options = options
    this.#notice = options.notice
    const member = (role: WorkerRole, slot: number): Member => ({
      slot, role, pulse: new Pulse(), state: 'down', thread: undefined, failures: 0, servingSinceMs: 0, retry: undefined
    })
    this.#applications = Array.from({ length: options.size }, (_, slot) => member('application', slot))
    this.#standIn = member('stand-in', options.size)
    this.#ticker = setInterval(() => this.#tick(), TICK_MS)
  }

  /** Starts the workers. @returns when requests are served, by the application or, in maintenance, at all */
  async start (): Promise<void> {
    this.#started = true
    if (this.#mode !== 'live') {
      // The application may take the processor for a while; the page comes first.
      this.#start(this.#standIn)
      await this.#until(() => this.#standIn.state === 'serving' || this.#mode === 'live')
    }
    for (const member of this.#applications) this.#start(member)
    await this.#until(() => this.#anyServes)
  }

  /** To be called when the mode has changed: the page may need a stand-in, or no longer. */
  modeChanged (): void {
    this.#arrangeStandIn()
  }

  setNotice (notice: Notice): void {
    this.#notice = notice
    for (const { thread } of this.#members) thread?.tell({ type: 'notice', notice })
  }

  isServing (): boolean {
    return this.#applications.every(({ state }) => state === 'serving')
  }

  /** Resolves when every application worker serves; those that wait for another try get it now. */
  async whenServing (signal: AbortSignal): Promise<void> {
    for (const member of this.#applications) {
      if (member.retry !== undefined) this.#start(member)
    }
    await this.#until(() => this.isServing(), signal)
  }

  /** Whether somebody serves, or has until a replacement could be expected: what the watchdog is told. */
  isHealthy (): boolean {
    return performance.now() - this.#lastServingMs < 2 * this.#options.stuckTimeoutMs
  }

  /** Every worker as it is now; a stand-in that is not there is left out. */
  get workers (): WorkerStatus[] {
    const now = performance.now()
    return this.#members.filter(({ role, thread }) => role === 'application' || thread !== undefined)
      .map(({ slot, role, state, pulse }) => ({
        worker: slot,
        role,
        state,
        inFlight: this.#options.switch.inFlight('maintenance', slot),
        silentMs: Math.round(pulse.silentMs(this.#options.switch.beats(slot), now))
      }))
  }

  /** How often a worker had to be replaced. */
  get replacements (): number {
    return this.#replacements
  }

  /** The oldest of what is in flight, in all workers that answer. */
  async stragglers (): Promise<Straggler[]> {
    const lists = await Promise.all(this.#applications.map(async ({ slot, thread }) => {
      const list = await thread?.ask('list', LIST_MS) ?? []
      return list.map(entry => ({ worker: slot, ...entry }))
    }))
    return lists.flat().sort((a, b) => b.ageMs - a.ageMs).slice(0, MOST_STRAGGLERS)
  }

  /** Runs the application's hooks for when nothing is in flight. @returns what failed */
  async drained (): Promise<string[]> {
    const failures = await Promise.all(this.#applications.map(async ({ slot, state, thread }) => {
      // What has not loaded has nothing to put away.
      if (thread === undefined || state === 'loading' || state === 'closing') return []
      const failed = await thread.ask('drained', DRAINED_HOOKS_MS) ?? ['no answer in time']
      return failed.map(reason => `worker ${slot}: ${reason}`)
    }))
    return failures.flat()
  }

  /** Closes the connections of what is in flight. @returns how many */
  async cut (): Promise<number> {
    const counts = await Promise.all(this.#applications.map(async ({ thread }) => await thread?.ask('cut', LIST_MS) ?? 0))
    return counts.reduce((sum, count) => sum + count, 0)
  }

  /** Closes every worker, at the latest when the grace is over. */
  async close (graceMs: number): Promise<void> {
    this.#closing = true
    clearInterval(this.#ticker)
    for (const member of this.#members) this.#closeMember(member, graceMs)
    const gone = this.#until(() => this.#members.every(({ thread }) => thread === undefined))
    const late = new AbortController()
    await Promise.race([gone, sleep(graceMs + TERMINATE_MS, undefined, { signal: late.signal }).catch(() => {})])
    late.abort()
    for (const { thread } of this.#members) thread?.terminate()
    await gone
  }

  get #members (): readonly Member[] {
    return [...this.#applications, this.#standIn]
  }

  get #mode (): Switch['mode'] {
    return this.#options.switch.mode
  }

  get #anyServes (): boolean {
    return this.#members.some(({ state }) => state === 'serving')
  }

  #start (member: Member): void {
    clearTimeout(member.retry)
    member.retry = undefined
    if (member.thread !== undefined || this.#closing) return
    const { config, switch: { memory } } = this.#options
    member.state = 'loading'
    member.pulse.reset(performance.now())
    const data: WorkerData = { role: member.role, slot: member.slot, memory, notice: this.#notice, config }
    const thread = member.thread = startThread(data, {
      ready: () => {
        if (member.state !== 'loading') return
        try {
          thread.tell({ type: 'listen', fd: this.#options.duplicateListener() })
        } catch (error) {
          thread.terminate(error)
        }
      },
      serving: () => {
        if (member.state !== 'loading') return
        member.state = 'serving'
        member.servingSinceMs = this.#lastServingMs = performance.now()
        this.#options.report({ event: 'worker-serving', worker: member.slot, role: member.role })
        this.#changed()
      },
      ended: error => this.#ended(member, error)
    })
  }

  #ended (member: Member, error: Error | undefined): void {
    const { slot, role, state } = member
    const inFlight = this.#options.switch.inFlight('maintenance', slot)
    this.#options.switch.forgetInFlight(slot)
    member.thread = undefined
    member.state = 'down'
    if (state === 'closing') {
      this.#changed()
      return
    }
    if (performance.now() - member.servingSinceMs > STABLE_MS) member.failures = 0
    member.failures++
    this.#replacements++
    const err = error ?? new Error('its thread was ended by the application (process.exit)')
    const retryMs = retryDelay(member.failures)
    this.#options.report({ event: 'worker-died', worker: slot, role, inFlight, retryMs, err })
    if (this.#mode === 'live' && role === 'application' && member.failures >= MOST_FAILURES) {
      this.#options.giveUp(new ServiceError('ERR_APP_DYING',
        `the application died ${member.failures} times in a row, last of: ${messageOf(err)}`, err))
    }
    member.retry = setTimeout(() => this.#start(member), retryMs)
    this.#changed()
  }

  #tick (): void {
    const now = performance.now()
    // The whole process was stopped, or starved: that says nothing about the workers.
    const wasAsleep = now - this.#lastTickMs > 2 * TICK_MS
    this.#lastTickMs = now
    for (const member of this.#members) {
      if (member.thread === undefined) continue
      if (wasAsleep) member.pulse.reset(now)
      this.#feel(member, member.pulse.silentMs(this.#options.switch.beats(member.slot), now))
    }
    if (this.#anyServes) this.#lastServingMs = now
    this.#changed()
  }

  #feel (member: Member, silent: number): void {
    const { slot } = member
    const silentMs = Math.round(silent)
    const inFlight = this.#options.switch.inFlight('maintenance', slot)
    if (member.state === 'serving' && silent >= STUCK_AFTER_MS) {
      member.state = 'stuck'
      this.#options.report({ event: 'worker-stuck', worker: slot, inFlight, silentMs })
    } else if (member.state === 'stuck' && silent < STUCK_AFTER_MS) {
      member.state = 'serving'
      this.#options.report({ event: 'worker-recovered', worker: slot })
    }
    if (silent >= this.#options.stuckTimeoutMs && member.state !== 'closing') {
      this.#options.report({ event: 'worker-replaced', worker: slot, inFlight, silentMs })
      member.pulse.reset(performance.now())
      member.thread?.terminate()
    }
  }

  /** Whoever waits for something looks whether it has come. */
  #changed (): void {
    this.#arrangeStandIn()
    for (const look of this.#waiting) look()
  }

  // While maintenance is on and no application worker answers, new connections have nobody else to go to.
  #arrangeStandIn (): void {
    if (!this.#started || this.#closing) return
    const isNeeded = this.#mode !== 'live' && !this.#applications.some(({ state }) => state === 'serving')
    if (isNeeded) {
      if (this.#standIn.state === 'down' && this.#standIn.retry === undefined) this.#start(this.#standIn)
    } else if (this.#standIn.state === 'serving') {
      this.#closeMember(this.#standIn, STAND_IN_GRACE_MS)
    }
  }

  #closeMember (member: Member, graceMs: number): void {
    clearTimeout(member.retry)
    member.retry = undefined
    const { thread, state } = member
    if (thread === undefined || state === 'closing') return
    member.state = 'closing'
    // What has not begun to serve has nothing to finish.
    if (state === 'loading') thread.terminate()
    else thread.tell({ type: 'close', graceMs })
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

// The first time is without delay: a single crash should not be felt.
function retryDelay (failures: number): number {
  return failures === 1 ? 0 : Math.min(FIRST_RETRY_MS * 2 ** (failures - 2), LONGEST_RETRY_MS)
}
