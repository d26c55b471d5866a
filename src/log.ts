// pino, shaped for where the lines go: the journal (priorities, no time), a terminal (readable), or elsewhere (JSON).

import { fstatSync } from 'node:fs'
import { createRequire } from 'node:module'
import { isatty } from 'node:tty'
import pino, { type Logger } from 'pino'
import type { Config } from './config.ts'

export type { Logger }

const STDOUT = 1
// A pipe takes so many bytes in one piece (PIPE_BUF, pipe(7)): lines of several threads never mix.
const PIECE_BYTES = 4096
// When nobody reads: what comes on top of it is dropped, and so is what cannot be written at the end.
const MOST_BUFFERED_BYTES = 16 * 1024 * 1024
const FLUSH_MS = 1_000
// The journal splits longer lines (LineMax=, journald.conf(5)).
const SYSLOG_PRIORITY: Readonly<Record<number, number>> = { 10: 7, 20: 7, 30: 6, 40: 4, 50: 3, 60: 2 }

/** Takes a transition's line as a native journal entry. @returns whether it was taken */
export type JournalSink = (line: string, priority: number, fields: Readonly<Record<string, string | number>>) => boolean

export interface Log {
  logger: Logger
  /** Writes out what is buffered; for the end of the thread, whatever ends it. */
  flush (): void
}

/** Whether standard output is the journal: systemd.exec(5), $JOURNAL_STREAM. */
export function writesToJournal (env: NodeJS.ProcessEnv): boolean {
  if (env.JOURNAL_STREAM === undefined) return false
  const { dev, ino } = fstatSync(STDOUT, { bigint: true })
  return env.JOURNAL_STREAM === `${dev}:${ino}`
}

/**
 * A logger of this thread. Each thread writes by itself: a worker's process.stdout would go through the main thread.
 * @param journal takes lines logged with a `journal` object of further fields
 */
export function openLog (level: Config['logLevel'], env: NodeJS.ProcessEnv, journal?: JournalSink): Log {
  const toJournal = writesToJournal(env)
  let flushUntilMs = Infinity
  const out = pino.destination({
    dest: STDOUT,
    sync: false,
    maxWrite: PIECE_BYTES,
    maxLength: MOST_BUFFERED_BYTES,
    retryEAGAIN: () => performance.now() < flushUntilMs
  })
  // A reader that went away (`| head`) must not take the service with it.
  out.on('error', () => {})
  const flush = (): void => {
    flushUntilMs = performance.now() + FLUSH_MS
    try {
      out.flushSync()
    } catch {
      // Closed already, or nobody reads: nobody is to try again.
      out.destroy()
    }
  }

  const options: pino.LoggerOptions = { level, base: null }
  if (toJournal) return { logger: pino({ ...options, timestamp: false }, journalStream(out, journal)), flush }
  const pretty = isatty(STDOUT) ? loadPretty() : undefined
  if (pretty !== undefined) return { logger: pino(options, pretty({ sync: true, singleLine: true })), flush }
  return { logger: pino({ ...options, timestamp: pino.stdTimeFunctions.isoTime }, out), flush }
}

// pino fills in the last* fields before each write, because of the symbol: pino's documented "metadata" streams.
function journalStream (out: { write (line: string): boolean }, journal: JournalSink | undefined): pino.DestinationStream {
  const stream = {
    [Symbol.for('pino.metadata')]: true,
    lastLevel: 30,
    lastObj: undefined as { journal?: Record<string, string | number> } | undefined,
    write (line: string): void {
      const priority = SYSLOG_PRIORITY[stream.lastLevel] ?? 6
      const fields = stream.lastObj?.journal
      if (fields !== undefined && journal?.(line.trimEnd(), priority, fields) === true) return
      out.write(`<${priority}>${line}`)
    }
  }
  return stream
}

type Pretty = (options: { sync: boolean, singleLine: boolean }) => pino.DestinationStream

// A development dependency: an installed service has no terminal.
function loadPretty (): Pretty | undefined {
  try {
    return createRequire(import.meta.url)('pino-pretty') as Pretty
  } catch {
    return undefined
  }
}
