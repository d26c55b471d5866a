// The list of what is in flight, the oldest first. Each entry knows its neighbours: a Set, which hashes what is added
// and makes its table anew all the time, is felt in every request.

/** Something in flight. */
export interface Entry {
  /** `GET /orders/:id`, `UPGRADE /chat`, or the name of work that the application began. */
  readonly what: string
  /** On the clock of performance.now(). */
  readonly startedMs: number
  readonly clientGone: boolean
  /** Closes its connection. @returns whether there was one */
  cut (): boolean
  /** The list's own. */
  older?: Entry | undefined
  newer?: Entry | undefined
}

/** All that a worker has in flight. */
export class InFlight implements Iterable<Entry> {
  /** The time of the last tick: to look at the clock for each request would be felt. */
  nowMs = performance.now()
  #oldest: Entry | undefined
  #newest: Entry | undefined

  /** To be called as often as ages are to be exact. */
  tick (): void {
    this.nowMs = performance.now()
  }

  /** @param entry is in no list */
  add (entry: Entry): void {
    entry.older = this.#newest
    if (this.#newest === undefined) this.#oldest = entry
    else this.#newest.newer = entry
    this.#newest = entry
  }

  /** @param entry is in this list */
  delete (entry: Entry): void {
    const { older, newer } = entry
    if (older === undefined) this.#oldest = newer
    else older.newer = newer
    if (newer === undefined) this.#newest = older
    else newer.older = older
    // One that somebody still holds must not keep others in memory.
    entry.older = entry.newer = undefined
  }

  * [Symbol.iterator] (): Generator<Entry, void, undefined> {
    for (let entry = this.#oldest; entry !== undefined; entry = entry.newer) yield entry
  }
}
