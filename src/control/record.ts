// The record: what survives the process. It is written, and synced to the disk, before the switch is set. It says
// what the last intent was; it never guesses in favour of opening.

import { deepStrictEqual } from 'node:assert/strict'
import {
  closeSync, existsSync, fsyncSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync
} from 'node:fs'
import { dirname, join } from 'node:path'
import { ServiceError, messageOf } from '../errors.ts'
import { formatRecord, inDoubt, parseRecord, type RecordState } from './record-format.ts'

export interface RecordReading {
  state: RecordState
  /** Why the record was not believed, and maintenance was assumed; undefined where there is no doubt. */
  doubt?: ServiceError
}

const FILE = 'maintenance.json'
// For the file, and for the folder.
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
      const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT'
      if (isMissing && this.#isFirstStart()) return { state: { mode: 'live', since: this.#now(), by: 'first start', holders: [] } }
      if (isMissing) return this.#doubt('is lost', error)
      return this.#doubt(`cannot be read (${messageOf(error)}); it was kept as ${this.#setAside()}`, error)
    }
    try {
      return { state: parseRecord(text) }
    } catch (error) {
      return this.#doubt(`${messageOf(error)}; it was kept as ${this.#setAside()}`, error)
    }
  }

  /**
   * Replaces the record, whole or not at all, and returns when it is on the disk: file and directory are synced.
   * @throws ServiceError ERR_RECORD_WRITE: the old record stands, or the new one may be lost with the power
   */
  write (state: RecordState): void {
    const temporary = `${this.path}.new`
    try {
      mkdirSync(dirname(this.path), { recursive: true, mode: 0o750 })
      this.#use(temporary, 'w', file => {
        writeFileSync(file, formatRecord(state))
        fsyncSync(file)
      })
      renameSync(temporary, this.path)
      // Without this the rename itself may be lost with the power.
      this.#syncFolder()
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
   * Whether just this state stands on the disk, and would after a loss of power: the process that wrote it may have
   * died before it was synced.
   */
  holds (state: RecordState): boolean {
    return this.#succeeds(() => this.#use(this.path, 'r', file => {
      deepStrictEqual(parseRecord(readFileSync(file, 'utf8')), parseRecord(formatRecord(state)))
      fsyncSync(file)
    }))
  }

  /**
   * Where the truth cannot be written the old record must not be believed, and a lost one means maintenance. A rename
   * needs no room on a full disk; nor does the empty file that takes its place where there has never been a record.
   * @returns whether the next start is in doubt, whatever becomes of the machine
   */
  disown (): boolean {
    return this.#succeeds(() => this.#moveAside(`${this.path}.outdated`))
  }

  /** Whether something succeeds, and is in the folder to stay. */
  #succeeds (act: () => void): boolean {
    try {
      act()
      this.#syncFolder()
      return true
    } catch {
      return false
    } finally {
      this.#keepSpare()
    }
  }

  #moveAside (aside: string): void {
    try {
      renameSync(this.path, aside)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      if (this.#isFirstStart()) this.#use(aside, 'w', () => {})
    }
  }

  #syncFolder (): void {
    this.#use(dirname(this.path), 'r', fsyncSync)
  }

  // Applications that leak descriptors must not keep maintenance from being recorded. They may be quick: each spare one
  // is given back at the very moment in which another is opened.
  #use (path: string, flags: 'r' | 'w', use: (fd: number) => void): void {
    const spare = this.#spare.pop()
    if (spare !== undefined) closeSync(spare)
    const fd = openSync(path, flags, 0o640)
    try {
      use(fd)
    } finally {
      closeSync(fd)
    }
  }

  #keepSpare (): void {
    try {
      while (this.#spare.length < SPARE_FDS) this.#spare.push(openSync('/dev/null', 'r'))
    } catch {} // The next time does without.
  }

  /** Whether a record that is missing has never been there. */
  #isFirstStart (): boolean {
    if (this.#mustExist) return false
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
