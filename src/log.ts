// pino, shaped for where the lines go: the journal (priorities, no time), a terminal (readable), or elsewhere (JSON).

import { fstatSync } from 'node:fs'
import { createRequire } from 'node:module'
import { isatty } from 'node:tty'
import pino, { type Logger } from 'pino'
import type { Config } from './config.ts'
import { LineWriter } from './line-writer.ts'

export type { Logger }

const STDOUT = 1
const WARN = 40
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

export interface LogOptions {
  /** Takes lines that are logged with a `journal` object of further fields. */
  journal?: JournalSink
  /** Whether lines may wait for each other a moment, where there is one for every request. */
  gathers?: boolean
}

/** A logger of this thread. Each thread writes by itself: a worker's process.stdout would go through the main thread. */
export function openLog (level: Config['logLevel'], env: NodeJS.ProcessEnv, { journal, gathers = false }: LogOptions = {}): Log {
  const toJournal = writesToJournal(env)
  const out = new LineWriter(STDOUT, gathers, lost => {
    const line = JSON.stringify({ level: WARN, ...!toJournal && { time: new Date() }, event: 'lines-lost', lost, msg: 'lines could not be written' })
    return `${toJournal ? `<${SYSLOG_PRIORITY[WARN]}>` : ''}${line}\n`
  })
  const flush = (): void => out.flush()
  // Causes stand beside their messages and not in them: many messages have told theirs already.
  const options: pino.LoggerOptions = { level, base: null, serializers: { err: pino.stdSerializers.errWithCause } }
  if (toJournal) return { logger: pino({ ...options, timestamp: false }, journalStream(out, journal)), flush }
  const pretty = isatty(STDOUT) ? loadPretty() : undefined
  if (pretty !== undefined) return { logger: pino(options, pretty({ sync: true, singleLine: true })), flush }
  return { logger: pino({ ...options, timestamp: isoTime }, out), flush }
}

// pino fills in the last* fields before each write, because of the symbol: pino's documented "metadata" streams.
function journalStream (out: LineWriter, journal: JournalSink | undefined): pino.DestinationStream {
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

// pino's own makes a text for each line, and there are many in a millisecond.
const time = { ms: NaN, text: '' }
function isoTime (): string {
  const ms = Date.now()
  if (ms !== time.ms) Object.assign(time, { ms, text: `,"time":"${new Date(ms).toISOString()}"` })
  return time.text
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
