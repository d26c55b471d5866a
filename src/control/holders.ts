// Who wants maintenance, and until when. Maintenance is on while there is a holder. Pure data: it decides nothing.

import type { Ending } from './protocol.ts'

export interface Holder {
  name: string
  /** Who asked, for example `SIGUSR1` or `alice, pid 1234`. */
  by: string
  since: Date
  /** For the journal. */
  reason?: string
  /** For the public. */
  message?: string
  end?: End | undefined
}

export interface End {
  at: Date
  then: Ending
  /**
   * `duration`: the window is so long, and its end moves along when the clock is set; `clock`: it ends when the clock
   * says so.
   */
  countsBy: 'duration' | 'clock'
}

/** What the public is told: the newest message, and the latest end if every holder has one that is still to come. */
export interface Announcement {
  message?: string
  endsAt?: Date
}

export function announce (holders: readonly Holder[], now: Date): Announcement {
  const message = holders.findLast(({ message }) => message !== undefined)?.message
  const ends = holders.flatMap(({ end }) => end === undefined ? [] : [end.at.getTime()])
  const endsAt = new Date(Math.max(...ends))
  return {
    ...message !== undefined && { message },
    ...ends.length > 0 && ends.length === holders.length && endsAt > now && { endsAt }
  }
}

export function isOverdue ({ end }: { end?: End | undefined }, now: Date): boolean {
  return end !== undefined && end.at <= now
}

/** Moves the ends of durations along with the clock. @returns whether there was one */
export function moveDurations (holders: readonly Holder[], byMs: number): boolean {
  const moved = holders.flatMap(({ end }) => end?.countsBy === 'duration' ? [end] : [])
  for (const end of moved) end.at = new Date(end.at.getTime() + byMs)
  return moved.length > 0
}
