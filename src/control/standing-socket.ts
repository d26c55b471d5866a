// Keeps a socket's file standing: opened where it could not be before, and opened anew where somebody has removed its
// file, since nobody could reach it any more.

import { lstatSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { removeStaleSocket } from './listener.ts'

interface Closable {
  close (): Promise<void>
}

export class StandingSocket {
  readonly #path: string
  readonly #open: () => Promise<Closable>
  readonly #logger: Logger
  #socket: Closable | undefined
  /** What stood at the path when it was opened. */
  #file: string | undefined
  #failure: string | undefined
  #looking: Promise<void> | undefined

  constructor (path: string, open: () => Promise<Closable>, logger: Logger) {
    this.#path = path
    this.#open = open
    this.#logger = logger
  }

  /** Opens it where it does not stand. To be called every so often; it never fails, but says what is wrong, once. */
  async look (): Promise<void> {
    if (this.#socket !== undefined && this.#file === identify(this.#path)) return
    this.#looking ??= this.#reopen().finally(() => { this.#looking = undefined })
    await this.#looking
  }

  async close (): Promise<void> {
    await this.#looking
    await this.#socket?.close()
  }

  async #reopen (): Promise<void> {
    const hasStood = this.#socket !== undefined
    try {
      // Only the unit's own user and group may look into a folder that is made here.
      mkdirSync(dirname(this.#path), { recursive: true, mode: 0o750 })
      // Closing removes whatever stands at the path, which may be another process's by now.
      await removeStaleSocket(this.#path)
      await this.#socket?.close()
      this.#socket = undefined
      this.#socket = await this.#open()
      this.#file = identify(this.#path)
    } catch (error) {
      if (messageOf(error) !== this.#failure) {
        this.#logger.error({ event: 'control-failed', err: error }, 'myserverctl will not work; signals do')
      }
      this.#failure = messageOf(error)
      return
    }
    if (hasStood || this.#failure !== undefined) {
      this.#logger.warn({ event: 'control-reopened', path: this.#path },
        hasStood ? 'somebody removed the control socket: it was opened anew' : 'the control socket is open')
    }
    this.#failure = undefined
  }
}

/** @returns undefined where there is nothing, or nothing that one may look at */
function identify (path: string): string | undefined {
  try {
    const { dev, ino } = lstatSync(path, { bigint: true })
    return `${dev}:${ino}`
  } catch {
    return undefined
  }
}
