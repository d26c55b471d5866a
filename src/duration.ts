// Durations as people write them, in settings and on the command line.

import ms from 'ms'

// ms() throws at texts of more than a hundred characters; no duration is that long.
const LONGEST_TEXT = 50

/** `90` and `90s` are seconds; `30m` and `2h` as they look. @returns milliseconds, or undefined where it is no duration */
export function durationMs (text: string): number | undefined {
  if (!/^\d/.test(text) || text.length > LONGEST_TEXT) return undefined
  const duration = ms((/^\d+$/.test(text) ? `${text}s` : text) as ms.StringValue) as number | undefined
  return duration !== undefined && Number.isFinite(duration) ? duration : undefined
}
