// The feed of events: tells those who follow it what happens, and how things stand whenever that changes.

import type { EventLine, Status } from './protocol.ts'

// Fast enough for an eye; asking the workers costs little, and nothing while nobody follows.
const LOOK_MS = 250

export class Feed {
  readonly #statusNow: () => Promise<Status>
  readonly #followers = new Set<(line: EventLine) => void>()
  #timer: NodeJS.Timeout | undefined
  #last = ''

  constructor (statusNow: () => Promise<Status>) {
    this.#statusNow = statusNow
  }

  /** @returns stops following */
  follow (listener: (line: EventLine) => void): () => void {
    this.#followers.add(listener)
    this.#timer ??= setInterval(() => this.#look(), LOOK_MS)
    return () => {
      this.#followers.delete(listener)
      if (this.#followers.size === 0) this.close()
    }
  }

  async publish (event: string): Promise<void> {
    if (this.#followers.size > 0) this.#send({ event, status: await this.#statusNow() })
  }

  close (): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  async #look (): Promise<void> {
    const status = await this.#statusNow()
    if (JSON.stringify(status) !== this.#last) this.#send({ event: 'status', status })
  }

  #send (line: EventLine): void {
    this.#last = JSON.stringify(line.status)
    for (const listener of this.#followers) listener(line)
  }
}
