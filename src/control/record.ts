// The record: what survives the process. It is written, and synced to the disk, before the switch is set. It says
// what the last intent was; it never guesses in favour of opening.

import {
  closeSync, existsSync, fsyncSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync
} from 'node:fs'
import { dirname, join } from 'node:path'
import { ServiceError, messageOf } from '../errors.ts'
import type { Holder } from './holders.ts'
import { OPERATOR, endings } from './protocol.ts'

/** Version 1 of the record, as it stands in the file. */
export interface RecordState {
  mode: 'live' | 'maintenance'
  /** When the mode was entered. */
  since: Date
  /** Who or what asked for it, for example `SIGUSR1`. */
  by: string
  /** Who wants maintenance; empty in live mode, and only then. */
  holders: Holder[]
}

export interface RecordReading {
  state: RecordState
  /** Why the record was not believed, and maintenance was assumed; undefined where there is no doubt. */
  doubt?: ServiceError
}

const VERSION = 1
const FILE = 'maintenance.json'
// A write needs one at a time; the notification to systemd before it, another.
const SPARE_FDS = 2

export class DurableRecord {
  readonly path: string
  readonly #mustExist: boolean
  readonly #now: () => Date
  readonly #spare: number[] = []

  /**
   * @param directory where the record stands; made if it is missing
   * @param mustExist whether an empty directory is a lost record (it was put there when the service was installed)
   *   and not a first start
   */
  constructor (directory: string, mustExist: boolean, now: () => Date = () => new Date()) {
    this.path = join(directory, FILE)
    this.#mustExist = mustExist
    this.#now = now
  }

  /** Reads the record. Whatever is wrong with it, the answer is a state to start in. */
  read (): RecordReading {
    let text
    try {
      text = readFileSync(this.path, 'utf8')
    } catch (error) {
      if (this.#isFirstStart(error)) return { state: { mode: 'live', since: this.#now(), by: 'first start', holders: [] } }
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return this.#doubt('is lost', error)
      return this.#doubt(`cannot be read (${messageOf(error)}); it was kept as ${this.#setAside()}`, error)
    }
    try {
      return { state: parse(text) }
    } catch (error) {
      return this.#doubt(`${messageOf(error)}; it was kept as ${this.#setAside()}`, error)
    }
  }

  /**
   * Replaces the record, whole or not at all, and returns when it is on the disk: file and directory are synced.
   * @throws ServiceError ERR_RECORD_WRITE: the old record stands, or the new one may be lost with the power
   */
  write (state: RecordState): void {
    const directory = dirname(this.path)
    const temporary = `${this.path}.new`
    for (const fd of this.#spare.splice(0)) closeSync(fd)
    try {
      mkdirSync(directory, { recursive: true, mode: 0o750 })
      const file = openSync(temporary, 'w', 0o640)
      try {
        writeFileSync(file, JSON.stringify({ version: VERSION, ...state }) + '\n')
        fsyncSync(file)
      } finally {
        closeSync(file)
      }
      renameSync(temporary, this.path)
      // Without this the rename itself may be lost with the power.
      syncFolder(directory)
    } catch (error) {
      try {
        rmSync(temporary, { force: true })
      } catch {} // The directory may be read-only: what stands above says so.
      throw new ServiceError('ERR_RECORD_WRITE', `${this.path} cannot be written (${messageOf(error)})`, error)
    } finally {
      this.#keepSpare()
    }
  }

  /**
   * Where the truth cannot be written the old record must not be believed, and a lost one means maintenance. A rename
   * needs no room on a full disk.
   * @returns whether there is no record any more that could be believed
   */
  disown (): boolean {
    try {
      renameSync(this.path, `${this.path}.outdated`)
      syncFolder(dirname(this.path))
      return true
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'ENOENT'
    }
  }

  // Applications that leak descriptors must not keep maintenance from being recorded.
  #keepSpare (): void {
    try {
      while (this.#spare.length < SPARE_FDS) this.#spare.push(openSync('/dev/null', 'r'))
    } catch {} // The next write does without.
  }

  #isFirstStart (error: unknown): boolean {
    if (this.#mustExist || (error as NodeJS.ErrnoException).code !== 'ENOENT') return false
    try {
      return readdirSync(dirname(this.path)).length === 0
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'ENOENT'
    }
  }

  #doubt (what: string, cause: unknown): RecordReading {
    return {
      state: inDoubt(this.#now()),
      doubt: new ServiceError('ERR_RECORD_READ', `${this.path} ${what}`, cause)
    }
  }

  #setAside (): string {
    const name = `${this.path}.bad-${this.#now().toISOString().replaceAll(':', '')}`
    let aside = name
    for (let i = 2; existsSync(aside); i++) aside = `${name}-${i}`
    try {
      renameSync(this.path, aside)
      return aside
    } catch (error) {
      return `${this.path} itself (${messageOf(error)})`
    }
  }
}

function syncFolder (path: string): void {
  const folder = openSync(path, 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}

/** What is assumed where the truth cannot be known. */
export function inDoubt (since: Date): RecordState {
  const by = 'doubt about the record'
  return { mode: 'maintenance', since, by, holders: [{ name: OPERATOR, by, since }] }
}

function parse (text: string): RecordState {
  let value
  try {
    value = JSON.parse(text)
  } catch {
    throw new Error('is not JSON')
  }
  if (typeof value !== 'object' || value === null) throw new Error('holds no object')
  const { version, mode, holders = [] } = value
  if (version !== VERSION) throw new Error(`is of version ${JSON.stringify(version)}, and this program knows ${VERSION}`)
  if (mode !== 'live' && mode !== 'maintenance') throw new Error(`has the unknown mode ${JSON.stringify(mode)}`)
  if (!Array.isArray(holders)) throw new Error('has no list of holders')
  const state: RecordState = { mode, since: dateOf(value, 'since'), by: textOf(value, 'by'), holders: holders.map(parseHolder) }
  if (mode === 'live' && holders.length > 0) throw new Error('says live and names holders of maintenance')
  if (mode === 'maintenance' && holders.length === 0) throw new Error('says maintenance and names no holder')
  return state
}

function parseHolder (value: unknown): Holder {
  const holder: Holder = { name: textOf(value, 'name'), by: textOf(value, 'by'), since: dateOf(value, 'since') }
  const { reason, message, end } = value as Record<string, unknown>
  if (reason !== undefined) holder.reason = textOf(value, 'reason')
  if (message !== undefined) holder.message = textOf(value, 'message')
  if (end !== undefined) {
    const then = endings.find(ending => ending === textOf(end, 'then'))
    const countsBy = textOf(end, 'countsBy')
    if (then === undefined || (countsBy !== 'clock' && countsBy !== 'duration')) throw new Error('has an end of an unknown kind')
    holder.end = { at: dateOf(end, 'at'), then, countsBy }
  }
  return holder
}

function textOf (value: unknown, name: string): string {
  const text = (value as Record<string, unknown> | null)?.[name]
  if (typeof text !== 'string') throw new Error(`has no valid "${name}"`)
  return text
}

function dateOf (value: unknown, name: string): Date {
  const date = new Date(textOf(value, name))
  if (Number.isNaN(date.getTime())) throw new Error(`has no valid "${name}"`)
  return date
}
