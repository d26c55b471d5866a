// The feed of events: tells those who follow it what happens, and how things stand whenever that changes.

import type { EventLine, Status } from './protocol.ts'

// Fast enough for an eye; asking the workers costs little, and nothing while nobody follows.
const LOOK_MS = 250

type Listener = (line: EventLine) => void

export class Feed {
  readonly #statusNow: () => Promise<Status>
  /** Each with the status that it knows. */
  readonly #followers = new Map<Listener, string>()
  #timer: NodeJS.Timeout | undefined
  #told: Promise<void> = Promise.resolve()

  constructor (statusNow: () => Promise<Status>) {
    this.#statusNow = statusNow
  }

  /** Tells the listener how things stand, and everything from then on. @returns stops following */
  follow (listener: Listener): () => void {
    this.#followers.set(listener, '')
    this.#timer ??= setInterval(() => { this.#tell() }, LOOK_MS)
    this.#tell()
    return () => {
      this.#followers.delete(listener)
      if (this.#followers.size === 0) this.close()
    }
  }

  async publish (event: string): Promise<void> {
    if (this.#followers.size > 0) await this.#tell(event)
  }

  close (): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  // A status takes time where a worker hangs. They are told in the order in which they were begun, so that none undoes
  // what came after it.
  #tell (event?: string): Promise<void> {
    const begun = this.#statusNow()
    const before = this.#told
    this.#told = this.#send(before, begun, event)
    return this.#told
  }

  async #send (before: Promise<void>, begun: Promise<Status>, event: string | undefined): Promise<void> {
    const [status] = await Promise.all([begun, before])
    const text = JSON.stringify(status)
    for (const [listener, known] of this.#followers) {
      if (event === undefined && text === known) continue
      this.#followers.set(listener, text)
      listener({ event: event ?? 'status', status })
    }
  }
}
