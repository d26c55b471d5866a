// Arguments, checked where they enter.

import { parseArgs, type ParseArgsOptionsConfig } from 'node:util'
import { durationMs } from '../duration.ts'
import { messageOf } from '../errors.ts'
import { Failure } from './failure.ts'

/** Options that every command takes. */
export const commonOptions = {
  help: { type: 'boolean' },
  json: { type: 'boolean' },
  socket: { type: 'string' }
} as const satisfies ParseArgsOptionsConfig

/** An option whose value may be left out; parseArgs knows none, so `--wait` becomes `--wait=`. */
export function parse<T extends ParseArgsOptionsConfig> (args: readonly string[], options: T, valueOptional: readonly string[] = []) {
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

/** `90` and `90s` are seconds, `30m`, `2h`. @returns milliseconds */
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
  const time = /^\d{4}-\d\d-\d\dT/.test(value) ? new Date(value) : new Date(NaN)
  if (Number.isNaN(time.getTime())) {
    throw new Failure('usage', `${option}=${value}: expected a time such as 15:00, 2026-12-01T03:30 or 2026-12-01T03:30Z`)
  }
  if (time <= now) throw new Failure('usage', `${option}=${value}: that is over; it is ${now.toISOString()}`)
  return time
}
