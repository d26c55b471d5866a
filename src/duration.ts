// Durations as people write them, in settings and on the command line.

import ms from 'ms'

// ms() throws at texts of more than a hundred characters; no duration is that long.
const LONGEST_TEXT = 50

/** `90`, `1.5` and `90s` are seconds; `30m` and `2h` as they look. @returns milliseconds, or undefined where it is no duration */
export function durationMs (text: string): number | undefined {
  if (!/^\d(.*\S)?$/.test(text) || text.length > LONGEST_TEXT) return undefined
  // To ms() a number without a unit is milliseconds.
  const duration = ms((/[a-z]/i.test(text) ? text : `${text}s`) as ms.StringValue) as number | undefined
  return duration !== undefined && Number.isFinite(duration) ? duration : undefined
}
