// Who wants maintenance, and until when. Maintenance is on while there is a holder. Pure data: it decides nothing.

import type { Ending, Outcome } from './protocol.ts'

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

/** What somebody who enters says; what is left out stays as it was. */
export interface Said {
  reason?: string
  message?: string
  /** Without `then` it stays what it was. */
  end?: Omit<End, 'then'> & Partial<Pick<End, 'then'>>
}

export interface Claimed {
  holders: Holder[]
  outcome: Exclude<Outcome, 'entered'>
  /** Whether it has another end than before. */
  endChanged: boolean
}

/** What becomes of the holders when one of them, or one more, enters. */
export function claim (holders: readonly Holder[], name: string, by: string, said: Said, now: Date): Claimed {
  const known = holders.find(holder => holder.name === name)
  const claim: Holder = { ...known ?? { name, by, since: now }, ...said, end: undefined }
  // Whoever enters after the end wants more than it, and has named no other.
  const hasOutlived = known !== undefined && said.end === undefined && isOverdue(known, now)
  if (said.end !== undefined) claim.end = { ...said.end, then: said.end.then ?? known?.end?.then ?? 'stay' }
  else if (!hasOutlived) claim.end = known?.end
  const hasChanged = hasOutlived || Object.keys(said).length > 0
  return {
    // At the end of the list, as the newest: the public is told the newest message.
    holders: known === undefined || said.message !== undefined
      ? [...holders.filter(holder => holder !== known), claim]
      : holders.map(holder => holder === known ? claim : holder),
    outcome: known === undefined ? 'joined' : hasChanged ? 'updated' : 'unchanged',
    endChanged: said.end !== undefined || hasOutlived
  }
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
