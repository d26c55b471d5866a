// The switch: one word of shared memory that every worker reads on every request, and the counts that tell when
// everything it refuses is over. It knows nothing of HTTP, files or processes.

/** What the switch lets through: everything, safe methods only, or nothing. */
export type Mode = 'live' | 'read-only' | 'maintenance'

const MODES: readonly Mode[] = ['live', 'read-only', 'maintenance']
const LIVE = 0
const READ_ONLY = 1

// One cache line (64 bytes) for the mode and one for each worker, so that workers do not slow each other down.
const LINE = 16
const UNSAFE = 0
const SAFE = 1
const REFUSED = 2
const BEATS = 3
const ADMITTED = 4
const LAG = 5
const ADOPTED = 6

/** The memory of a switch: hand it to worker threads, open it with {@link Switch} or {@link Gate}. */
export type SwitchMemory = SharedArrayBuffer

/**
 * Makes the memory of a switch that is `live`.
 * @param workers how many gates may be opened on it (slots 0 to workers - 1)
 */
export function allocateSwitch (workers: number): SwitchMemory {
  return new SharedArrayBuffer((workers + 1) * LINE * Int32Array.BYTES_PER_ELEMENT)
}

/** The operator's side: sets the mode, then reads the counts. */
export class Switch {
  readonly memory: SwitchMemory
  readonly workers: number
  readonly #words: Int32Array

  constructor (memory: SwitchMemory) {
    this.memory = memory
    this.#words = new Int32Array(memory)
    this.workers = this.#words.length / LINE - 1
  }

  get mode (): Mode {
    return MODES[Atomics.load(this.#words, 0)] ?? 'maintenance'
  }

  set mode (mode: Mode) {
    Atomics.store(this.#words, 0, MODES.indexOf(mode))
  }

  /** What is in flight, in one worker or in all, that `mode` would refuse; in `live`, all that is in flight. */
  inFlight (mode: Mode, worker?: number): number {
    const first = worker ?? 0
    const last = worker ?? this.workers - 1
    let count = 0
    for (let slot = first; slot <= last; slot++) {
      count += Atomics.load(this.#words, line(slot) + UNSAFE)
      if (mode !== 'read-only') count += Atomics.load(this.#words, line(slot) + SAFE)
    }
    return count
  }

  /** Requests refused by a worker since it was last reset; wraps around at 2^32, so read it as differences. */
  refused (worker: number): number {
    return Atomics.load(this.#words, line(worker) + REFUSED) >>> 0
  }

  /** Requests admitted by a worker; wraps around likewise. */
  admitted (worker: number): number {
    return Atomics.load(this.#words, line(worker) + ADMITTED) >>> 0
  }

  /** Whether the worker has made the descriptor that it was handed its own. */
  hasAdopted (worker: number): boolean {
    return Atomics.load(this.#words, line(worker) + ADOPTED) === 1
  }

  /** How late a worker's last beat was, in milliseconds. */
  lagMs (worker: number): number {
    return Atomics.load(this.#words, line(worker) + LAG)
  }

  /** A number that changes for as long as the worker's event loop turns. */
  beats (worker: number): number {
    return Atomics.load(this.#words, line(worker) + BEATS)
  }

  /** Forgets what a worker had in flight. Only for a thread that has ended: nothing of it runs any more. */
  forget (worker: number): void {
    Atomics.store(this.#words, line(worker) + ADOPTED, 0)
    Atomics.store(this.#words, line(worker) + UNSAFE, 0)
    Atomics.store(this.#words, line(worker) + SAFE, 0)
  }
}

/** A worker's side: admits or refuses, and counts. */
export class Gate {
  readonly #words: Int32Array
  readonly #line: number

  constructor (memory: SwitchMemory, worker: number) {
    this.#words = new Int32Array(memory)
    this.#line = line(worker)
  }

  get mode (): Mode {
    return MODES[Atomics.load(this.#words, 0)] ?? 'maintenance'
  }

  /** Whether somebody who asked now would be let in; only {@link admit} lets them in. */
  admits (safe: boolean): boolean {
    return admits(Atomics.load(this.#words, 0), safe)
  }

  /**
   * Asks to be let in. Counts first and looks at the mode second, while the operator sets the mode first and looks
   * at the counts second; both are sequentially consistent, so either the operator sees this count or this
   * sees the operator's mode, and nothing is admitted after the operator has seen zero.
   * @returns whether it is admitted; then {@link release} must be called once, with the same `safe`
   */
  admit (safe: boolean): boolean {
    if (!this.admits(safe)) return false
    const count = this.#line + (safe ? SAFE : UNSAFE)
    Atomics.add(this.#words, count, 1)
    if (this.admits(safe)) {
      // Nobody else writes this word, so it need not be one step.
      this.#words[this.#line + ADMITTED]!++
      return true
    }
    Atomics.sub(this.#words, count, 1)
    return false
  }

  release (safe: boolean): void {
    Atomics.sub(this.#words, this.#line + (safe ? SAFE : UNSAFE), 1)
  }

  countRefused (): void {
    Atomics.add(this.#words, this.#line + REFUSED, 1)
  }

  /** From here on the descriptor is closed with this worker. */
  adopt (): void {
    Atomics.store(this.#words, this.#line + ADOPTED, 1)
  }

  /** @param lagMs how much later than due this is */
  beat (lagMs: number): void {
    Atomics.store(this.#words, this.#line + LAG, Math.round(lagMs))
    Atomics.add(this.#words, this.#line + BEATS, 1)
  }

  /** What this worker has in flight. */
  get inFlight (): number {
    return Atomics.load(this.#words, this.#line + UNSAFE) + Atomics.load(this.#words, this.#line + SAFE)
  }
}

function admits (mode: number, safe: boolean): boolean {
  return mode === LIVE || (mode === READ_ONLY && safe)
}

function line (worker: number): number {
  return (worker + 1) * LINE
}
