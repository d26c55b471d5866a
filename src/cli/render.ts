// A status in words.

import ms from 'ms'
import type { HolderStatus, Status, Straggler, WorkerStatus } from '../control/protocol.ts'

// A worker beats twice a second; so late it is worth a word.
const SILENT_MS = 2_000
const BAR_WIDTH = 30
const MOST_WHAT = 100

export function renderStatus (status: Status, now: Date): string {
  return [headline(status, now), ...status.holders.map(holder => `  ${renderHolder(holder)}`), ...renderInFlight(status),
    `${renderWorkers(status.workers)}; version ${status.version}`].join('\n')
}

function headline (status: Status, now: Date): string {
  const since = new Date(status.since)
  const parts = [`${status.mode} since ${clock(since)} (${ms(now.getTime() - since.getTime())})`]
  if (status.mode === 'live') parts.push(`${status.inFlight} in flight`)
  else parts.push(status.drained ? 'drained' : `${status.inFlight} in flight`, `${status.refused} ${status.refused === 1 ? 'request' : 'requests'} refused`)
  if (status.leaving) parts.push('leaving as soon as the application and the check allow it')
  if (!status.durable) parts.push('NOT on disk: would not survive a reboot')
  else if (!status.recorded) parts.push('NOT on disk: a reboot would stay in maintenance and not know why')
  return parts.join(', ')
}

function renderHolder ({ name, by, since, reason, message, until, then, overdue }: HolderStatus): string {
  const parts = [`${name}: by ${by} since ${clock(new Date(since))}`]
  if (until !== undefined) parts.push(`until ${clock(new Date(until))}, then ${then ?? 'stay'}${overdue ? ' (OVERDUE)' : ''}`)
  if (reason !== undefined) parts.push(`reason: ${reason}`)
  if (message !== undefined) parts.push(`message: ${message}`)
  return parts.join('; ')
}

/** `0 serving, 1 loading`. A stand-in is named as such. */
function renderWorkers (workers: readonly WorkerStatus[]): string {
  return workers.map(({ worker, role, state }) => `${role === 'stand-in' ? 'stand-in' : `worker ${worker}`} ${state}`).join(', ')
}

/** What is in flight, the oldest first, and the workers that cannot tell. */
export function renderInFlight ({ workers, stragglers }: Pick<Status, 'workers' | 'stragglers'>): string[] {
  return [...workers.filter(isSilent).map(renderSilent), ...stragglers.map(renderStraggler)].map(line => `  ${line}`)
}

/** A text that changes when there is something new to say of what is in flight, besides how old it is. */
export function gistOfInFlight ({ inFlight, workers, stragglers }: Status): string {
  return JSON.stringify([inFlight, workers.filter(isSilent).map(({ worker }) => worker),
    stragglers.map(({ worker, what, clientGone }) => [worker, what, clientGone])])
}

function isSilent ({ state, silentMs }: WorkerStatus): boolean {
  return state !== 'down' && silentMs > SILENT_MS
}

function renderSilent ({ worker, silentMs, inFlight }: WorkerStatus): string {
  return `worker ${worker} has not answered for ${seconds(silentMs)} (${inFlight} in flight)`
}

function renderStraggler ({ what, ageMs, worker, clientGone }: Straggler): string {
  return `${printable(what)}, ${seconds(ageMs)} (worker ${worker}${clientGone ? ', its client has gone' : ''})`
}

/** `[#####-----] 3 of 12 left` and the stragglers. @param atFirst how many were in flight when it began */
export function renderProgress (status: Status, atFirst: number): string {
  const most = Math.max(atFirst, status.inFlight, 1)
  const done = Math.round((1 - status.inFlight / most) * BAR_WIDTH)
  return [`[${'#'.repeat(done)}${'-'.repeat(BAR_WIDTH - done)}] ${status.inFlight} of ${most} left`,
    ...renderInFlight(status)].join('\n')
}

// The path of an upgrade is whatever a client has sent.
function printable (text: string): string {
  return text.slice(0, MOST_WHAT).replace(/\p{C}/gu, '?')
}

function seconds (milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`
}

// Today's times without a date, in local time.
function clock (date: Date): string {
  const time = date.toTimeString().slice(0, 8)
  return date.toDateString() === new Date().toDateString() ? time : `${date.toLocaleDateString('sv')} ${time}`
}
