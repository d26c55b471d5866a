// A world for the operator in which ends pass, clocks are set and the process is started anew, and what must hold in
// it whatever comes in whatever order.

import type { End } from '../../src/control/holders.ts'
import { Operator } from '../../src/control/operator.ts'
import { inDoubt, type RecordState } from '../../src/control/record-format.ts'
import type { Mode } from '../../src/maintenance/switch.ts'
import { settle } from '../helpers/operator-rig.ts'
import { Claims } from './claims.ts'
import { FakeClock } from './fake-clock.ts'

const SLICE_MS = 500

export class World {
  readonly clock = new FakeClock()
  readonly claims = new Claims(this.clock)
  readonly overdue: string[] = []
  operator!: Operator
  /** The record; undefined: it was set aside, so that a restart does not believe it. */
  disk: RecordState | undefined = { mode: 'live', since: this.clock.now(), by: 'test', holders: [] }
  /** A full disk fails before anything is written, and one that cannot be synced when the new record is in place. */
  diskFails: 'no' | 'full' | 'not synced' = 'no'
  isServing = true
  inFlight = 0
  broken: string | undefined
  readonly #hasCheck: boolean
  #mode: Mode = 'live'
  #hasWitness = false
  #process = 0
  #asked = 0
  #hasPassed = false
  #checks: Array<(saw: string | undefined) => void> = []
  #looks = new Set<() => void>()

  constructor (hasCheck: boolean) {
    this.#hasCheck = hasCheck
    this.#start({ mode: 'live', since: this.clock.now(), by: 'test', holders: [] })
    this.operator.resume()
  }

  get mode (): Mode {
    return this.#mode
  }

  enter (holder: string, given?: { inMs: number } & Pick<End, 'then' | 'countsBy'>): void {
    const end = given && { at: this.clock.in(given.inMs), then: given.then, countsBy: given.countsBy }
    const known = this.operator.status.holders.find(({ name }) => name === holder)
    // Whoever enters after the end wants more than it.
    const kept = known?.end !== undefined && known.end.at > this.clock.now() ? known.end : undefined
    this.claims.set(holder, end ?? kept)
    this.#asked++
    this.operator.enter({ holder, by: 'test', ...end !== undefined && { end } })
    this.must(this.#mode === 'maintenance', 'entering takes effect before it returns')
  }

  leave (holder: string | undefined, force: boolean): void {
    this.claims.end(holder)
    if (force) this.claims.mayOpenUnchecked = true
    const asked = ++this.#asked
    this.operator.leave({ by: 'test', force, ...holder !== undefined && { holder } }).then(why => {
      // What has been asked for since may have changed it, and whoever was superseded may hear of it late.
      if (asked !== this.#asked) return
      const { mode, holders } = this.operator.status
      if (why !== undefined) this.must(mode === 'maintenance', `maintenance stays on after "${why}"`)
      else if (holder === undefined) this.must(mode === 'live', 'who left all is told so when it is live')
      else this.must(!holders.some(({ name }) => name === holder), 'who gave a claim back is told so when it is gone')
    })
  }

  setServing (is: boolean): void {
    this.isServing = is
    for (const look of this.#looks) look()
  }

  answerChecks (saw: string | undefined): void {
    const checks = this.#checks.splice(0)
    this.#hasPassed = saw === undefined && checks.length > 0
    for (const answer of checks) answer(saw)
  }

  async pass (ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= SLICE_MS) {
      this.clock.pass(Math.min(left, SLICE_MS))
      await settle()
      this.look()
    }
  }

  /** Somebody sets the clock, and it is noticed. */
  async setClock (byMs: number): Promise<void> {
    this.clock.set(byMs)
    await this.pass(1_000)
  }

  /** The process is killed, and another begins with what is on the disk, and with the witness. */
  restart (): void {
    this.#asked++
    const before = this.#mode
    const durable = this.operator.status.durable && this.disk !== undefined
    const holders = JSON.stringify(this.operator.status.holders)
    this.inFlight = 0
    const isDoubtful = this.disk === undefined || (this.disk.mode === 'live' && this.#hasWitness)
    this.#start(isDoubtful ? inDoubt(this.clock.now()) : structuredClone(this.disk!))
    this.must(this.#mode === before, 'a restart finds the mode')
    this.must(!durable || JSON.stringify(this.operator.status.holders) === holders, 'a restart finds the holders')
    // What could not be written was told as such.
    if (!durable) this.claims.end()
    for (const { name, end } of this.operator.status.holders) if (!durable) this.claims.set(name, end)
    this.operator.resume()
  }

  look (): void {
    const { operator, claims: { names }, disk } = this
    const { mode, durable, drained, holders } = operator.status
    this.#hasPassed = false
    this.must(mode === this.#mode, 'the status tells the mode of the switch')
    this.must((mode === 'live') === (holders.length === 0), 'maintenance is on while there is a holder, and only then')
    this.must(names.length === 0 || mode === 'maintenance', 'maintenance is on while somebody wants it')
    for (const name of names) this.must(holders.some(holder => holder.name === name), `${name} still holds it`)
    this.must(mode === 'maintenance' || disk?.mode === 'live', 'the switch is not live while the record says maintenance, or nothing')
    this.must(mode === 'live' || this.#hasWitness, 'the witness is set while maintenance is on')
    this.must(!durable || disk === undefined || JSON.stringify(disk.holders) === JSON.stringify(holders), 'what is called durable is on the disk')
    this.must(!drained || this.inFlight === 0, 'nothing is in flight when it is drained')
  }

  must (holds: boolean, what: string): void {
    if (!holds) this.broken ??= what
  }

  #start (state: RecordState): void {
    const ofProcess = ++this.#process
    this.#checks = []
    this.#looks.clear()
    const world = this
    this.operator = new Operator({
      switch: {
        get mode () { return world.#mode },
        set mode (mode) { if (ofProcess === world.#process) world.#setMode(mode) },
        inFlight: () => this.inFlight
      },
      record: {
        write: state => { if (ofProcess === this.#process) this.#write(state) },
        holds: state => this.diskFails !== 'not synced' && JSON.stringify(this.disk) === JSON.stringify(state),
        disown: () => {
          this.disk = undefined
          return this.diskFails !== 'not synced'
        }
      },
      witness: { set: () => { this.#hasWitness = true }, clear: () => { this.#hasWitness = false } },
      application: {
        isServing: () => this.isServing,
        whenServing: async signal => await this.#whenServing(signal),
        drained: async () => []
      },
      check: this.#hasCheck ? async signal => await this.#check(signal) : undefined,
      clock: this.clock,
      after: (delayMs, callback) => this.clock.after(delayMs, () => { if (ofProcess === this.#process) callback() }),
      report: event => { if (event.event === 'maintenance-overdue') this.overdue.push(event.holder) }
    }, state)
  }

  #setMode (mode: Mode): void {
    const opens = mode === 'live' && this.#mode !== 'live'
    this.#mode = mode
    if (!opens) return
    const { names, mayOpenUnchecked } = this.claims
    this.must(this.disk?.mode === 'live', 'the record says live before the switch does')
    this.must(names.length === 0, `it opens although ${names.join(', ')} did not end it`)
    this.must(!this.#hasCheck || this.#hasPassed || mayOpenUnchecked, 'it opens when the check has passed, or need not')
    this.claims.mayOpenUnchecked = false
  }

  #write (state: RecordState): void {
    if (this.diskFails === 'full') throw new Error('no space left')
    this.disk = structuredClone(state)
    this.must(state.mode === 'maintenance' || this.claims.names.length === 0, 'the record says live only when all claims have ended')
    if (this.diskFails === 'not synced') throw new Error('the directory cannot be synced')
  }

  async #check (signal: AbortSignal): Promise<string | undefined> {
    return await new Promise((resolve, reject) => {
      this.#checks.push(resolve)
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    })
  }

  async #whenServing (signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        if (!signal.aborted && !this.isServing) return
        this.#looks.delete(look)
        if (signal.aborted) reject(signal.reason)
        else resolve()
      }
      this.#looks.add(look)
      signal.addEventListener('abort', look, { once: true })
    })
  }
}
