// Writes lines to a descriptor without ever waiting for whoever reads them. pino's own destination either hands each
// write to another thread, which costs more than the request that is logged, or sleeps while a reader stalls.

import { writeSync } from 'node:fs'

// A pipe takes so many bytes in one piece (PIPE_BUF, pipe(7)): lines of several threads never mix.
const PIECE_BYTES = 4096
// When nobody reads: what comes on top of it is lost, and how much that was is told when somebody does again.
const MOST_WAITING_BYTES = 16 * 1024 * 1024
const GATHER_MS = 100
const RETRY_MS = 10
// What cannot be written at the end is lost too.
const FLUSH_MS = 1_000
const FLUSH_PAUSE_MS = 10
const NEWLINE = 0x0a

const nothing = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))

export class LineWriter {
  readonly #fd: number
  readonly #gathers: boolean
  #gathered = ''
  #gatheredBytes = 0
  #gathering: NodeJS.Timeout | undefined
  /** What the reader has not taken yet, the oldest first. */
  readonly #waiting: Uint8Array[] = []
  #waitingBytes = 0
  #retry: NodeJS.Timeout | undefined
  readonly #lineOfLoss: (lost: number) => string
  #lost = 0

  /**
   * @param fd of a file, or of a pipe, socket or terminal that does not block
   * @param gathers whether a line may wait for others, for a tenth of a second at most; otherwise each is written at once
   * @param lineOfLoss what to write, with the newline, once lines that were lost are followed by others
   */
  constructor (fd: number, gathers: boolean, lineOfLoss: (lost: number) => string) {
    this.#fd = fd
    this.#lineOfLoss = lineOfLoss
    this.#gathers = gathers
  }

  /** @param line with the newline at its end */
  write (line: string): void {
    const bytes = Buffer.byteLength(line)
    if (this.#gatheredBytes + bytes > PIECE_BYTES) this.#release()
    this.#gathered += line
    this.#gatheredBytes += bytes
    if (this.#gathers) this.#gathering ??= setTimeout(() => this.#release(), GATHER_MS).unref()
    else this.#release()
  }

  /** Writes what there is, and waits for the reader as long as seems decent: for the end of a thread. */
  flush (): void {
    this.#release()
    const untilMs = performance.now() + FLUSH_MS
    while (!this.#send() && performance.now() < untilMs) Atomics.wait(nothing, 0, 0, FLUSH_PAUSE_MS)
  }

  #release (): void {
    clearTimeout(this.#gathering)
    this.#gathering = undefined
    if (this.#gatheredBytes === 0) return
    const isStalled = this.#waiting.length > 0
    const piece = Buffer.from(this.#gathered)
    if (this.#waitingBytes < MOST_WAITING_BYTES) this.#keep(piece)
    else this.#lost += countLines(piece)
    this.#gathered = ''
    this.#gatheredBytes = 0
    if (!isStalled) this.#send()
  }

  #keep (piece: Uint8Array): void {
    // While older lines wait this is the place of those that were lost after them.
    if (this.#lost > 0 && this.#waiting.length > 0) {
      const loss = Buffer.from(this.#lineOfLoss(this.#lost))
      this.#lost = 0
      this.#keep(loss)
    }
    this.#waiting.push(piece)
    this.#waitingBytes += piece.length
  }

  /** @returns whether nothing waits any more */
  #send (): boolean {
    clearTimeout(this.#retry)
    for (let piece; (piece = this.#waiting[0]) !== undefined;) {
      let written
      try {
        written = writeSync(this.#fd, piece)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EAGAIN') {
          this.#retry = setTimeout(() => this.#send(), RETRY_MS).unref()
          return false
        }
        // A reader that went away (`| head`), or a full disk, must not take the service with it.
        this.#lost += countLines(piece)
        this.#drop(piece.length)
        continue
      }
      this.#drop(written)
      if (this.#waiting.length === 0 && this.#lost > 0) this.#tellLoss()
    }
    return true
  }

  #tellLoss (): void {
    const line = Buffer.from(this.#lineOfLoss(this.#lost))
    try {
      const written = writeSync(this.#fd, line)
      this.#lost = 0
      if (written < line.length) this.#keep(line.subarray(written))
    } catch {} // After the next line, then.
  }

  #drop (bytes: number): void {
    const [piece] = this.#waiting
    if (piece === undefined) return
    this.#waitingBytes -= bytes
    if (bytes < piece.length) this.#waiting[0] = piece.subarray(bytes)
    else this.#waiting.shift()
  }
}

function countLines (piece: Uint8Array): number {
  return piece.reduce((lines, byte) => byte === NEWLINE ? lines + 1 : lines, 0)
}
