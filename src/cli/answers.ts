// What the service answers, checked where it enters: whatever else listens on a socket is no service of ours. Only what
// is relied on is looked at, so that a newer service may say more.

import type { Entered, Status } from '../control/protocol.ts'

/** @throws Error saying what it lacks */
export function parseStatus (answer: unknown): Status {
  const { mode, since, drained, inFlight, ...lists } = objectOf(answer)
  const isStatus = (mode === 'live' || mode === 'maintenance') && typeof since === 'string' &&
    typeof drained === 'boolean' && typeof inFlight === 'number' &&
    [lists.holders, lists.workers, lists.stragglers].every(list => Array.isArray(list))
  if (!isStatus) throw new Error('its answer is no status')
  return answer as Status
}

/** @throws Error as {@link parseStatus} */
export function parseEntered (answer: unknown): Entered {
  parseStatus(answer)
  if (typeof objectOf(answer).outcome !== 'string') throw new Error('its answer says nothing of the outcome')
  return answer as Entered
}

/** How many connections were closed. @throws Error as {@link parseStatus} */
export function parseCut (answer: unknown): number {
  const { cut } = objectOf(answer)
  if (typeof cut !== 'number') throw new Error('its answer says nothing of connections')
  return cut
}

/** The status that an event carries. @throws Error as {@link parseStatus} */
export function parseEvent (line: unknown): Status {
  return parseStatus(objectOf(line).status)
}

/** Why something was refused. @throws Error where no reason is given */
export function parseRefusal (answer: unknown): string {
  const { error } = objectOf(answer)
  if (typeof error !== 'string') throw new Error('it gives no reason')
  return error
}

function objectOf (value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? value as Record<string, unknown> : {}
}
