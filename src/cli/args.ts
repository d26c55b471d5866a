// Arguments, checked where they enter.

import { parseArgs, type ParseArgsOptionsConfig } from 'node:util'
import { FieldError, parseIsoTime } from '../control/protocol.ts'
import { durationMs } from '../duration.ts'
import { messageOf } from '../errors.ts'
import { Failure } from './failure.ts'

/** Options that every command takes. */
export const commonOptions = {
  help: { type: 'boolean', short: 'h' },
  json: { type: 'boolean' },
  socket: { type: 'string' }
} as const satisfies ParseArgsOptionsConfig

/** Thrown where the arguments ask for nothing but help. */
export class HelpWanted extends Error {}

// What options are called on the wire, where that differs.
const OPTION_OF: Readonly<Record<string, string>> = { forMs: 'for' }

/**
 * @param valueOptional options whose value may be left out; parseArgs knows none, so `--wait` becomes `--wait=`
 * @throws Failure `usage`, or HelpWanted
 */
export function parse<T extends ParseArgsOptionsConfig> (args: readonly string[], options: T, valueOptional: readonly string[] = []) {
  const values = valuesOf(args, options, valueOptional)
  const { help, socket } = values as { help?: boolean, socket?: string }
  if (help === true) throw new HelpWanted()
  // Node would take it for a TCP connection to this machine.
  if (socket === '') throw new Failure('usage', '--socket=: expected the path of the control socket')
  return values
}

function valuesOf<T extends ParseArgsOptionsConfig> (args: readonly string[], options: T, valueOptional: readonly string[]) {
  const detached = args.findIndex((arg, i) => valueOptional.includes(arg) && /^[^-]/.test(args[i + 1] ?? ''))
  if (detached >= 0) {
    const [option, value] = args.slice(detached)
    throw new Failure('usage', `${option} ${value}: expected ${option}=${value}`)
  }
  try {
    return parseArgs({
      args: args.map(arg => valueOptional.includes(arg) ? `${arg}=` : arg),
      options: { ...commonOptions, ...options },
      allowPositionals: false,
      strict: true
    }).values
  } catch (error) {
    throw new Failure('usage', messageOf(error))
  }
}

/** Has the protocol check what was given, and names the option where it would name a field. @throws Failure `usage` */
export function checkFields<T> (check: () => T): T {
  try {
    return check()
  } catch (error) {
    if (!(error instanceof FieldError)) throw error
    throw new Failure('usage', `--${OPTION_OF[error.field] ?? error.field}: ${error.problem}`)
  }
}

/** `90`, `1.5` and `90s` are seconds, `30m`, `2h`. @returns milliseconds */
export function parseDuration (option: string, value: string): number {
  const duration = durationMs(value)
  if (duration === undefined || duration <= 0) {
    throw new Failure('usage', `${option}=${value}: expected a duration such as 90 (seconds), 90s, 30m or 2h`)
  }
  return duration
}

/** `15:00` is the next time that this machine's clock shows it; else ISO 8601, local time where it names no zone. */
export function parseTime (option: string, value: string, now: Date): Date {
  const clock = /^([01]?\d|2[0-3]):([0-5]\d)$/.exec(value)
  if (clock !== null) {
    const time = new Date(now)
    time.setHours(Number(clock[1]), Number(clock[2]), 0, 0)
    if (time <= now) time.setDate(time.getDate() + 1)
    return time
  }
  const time = parseIsoTime(value)
  if (time === undefined) {
    throw new Failure('usage', `${option}=${value}: expected a time such as 15:00, 2026-12-01T03:30 or 2026-12-01T03:30Z`)
  }
  if (time <= now) throw new Failure('usage', `${option}=${value}: that is over; it is ${now.toISOString()}`)
  return time
}
