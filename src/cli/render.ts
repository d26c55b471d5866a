// A status in words.

import ms from 'ms'
import { MOST_STRAGGLERS, type HolderStatus, type NamedStraggler, type Status, type Straggler, type UnansweredWorker, type WorkerStatus } from '../control/protocol.ts'
import { renderView, type Entry, type View } from './view.ts'

// A worker beats twice a second; so late it is worth a word.
const SILENT_MS = 2_000
const BAR_WIDTH = 30
const MOST_WHAT = 100

export function renderStatus (status: Status, now: Date): string {
  return renderView(viewStatus(status, now))
}

export function viewStatus (status: Status, now: Date): View {
  return {
    head: [headline(status, now), ...status.holders.map(holder => `  ${renderHolder(holder, now)}`)],
    ...listInFlight(status),
    foot: [`${renderWorkers(status.workers)}; version ${status.version}`]
  }
}

/** `[#####-----] 3 of 12 left` and what they are. @param atFirst how many were in flight when it began */
export function viewProgress (status: Status, atFirst: number): View {
  const most = Math.max(atFirst, status.inFlight, 1)
  const done = Math.round((1 - status.inFlight / most) * BAR_WIDTH)
  const bar = `[${'#'.repeat(done)}${'-'.repeat(BAR_WIDTH - done)}] ${status.inFlight} of ${most} left${hindrance(status)}`
  return { head: [bar], ...listInFlight(status), foot: [] }
}

/** What is in flight, and the workers that cannot tell. */
export function renderInFlight (status: Status): string {
  return renderView({ head: [countInFlight(status)], ...listInFlight(status), foot: [] })
}

/** A text that changes when there is something new to say of what is in flight, besides how old it is. */
export function gistOfInFlight ({ inFlight, workers, stragglers }: Status): string {
  return JSON.stringify([inFlight, workers.filter(isSilent).map(({ worker }) => worker),
    stragglers.map(straggler => isNamed(straggler) ? [straggler.worker, straggler.what, straggler.clientGone] : [straggler.worker])])
}

/** The workers that could not be asked what they have in flight. */
export function unansweredOf ({ stragglers }: Status): UnansweredWorker[] {
  return stragglers.filter(straggler => 'silentMs' in straggler)
}

/** `1 connection`, `2 connections` */
export function plural (count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`
}

function headline (status: Status, now: Date): string {
  const since = new Date(status.since)
  const parts = [`${status.mode} since ${clock(since, now)} (${ms(now.getTime() - since.getTime())})`]
  if (status.mode === 'live') parts.push(`${status.inFlight} in flight`)
  else parts.push(status.drained ? 'drained' : countInFlight(status), `${plural(status.refused, 'request')} refused`)
  if (status.leaving) parts.push('leaving as soon as the application and the check allow it')
  if (!status.durable) parts.push('NOT on disk: would not survive a reboot')
  else if (!status.recorded) parts.push('NOT on disk: a reboot would stay in maintenance and not know why')
  return parts.join(', ')
}

function countInFlight (status: Status): string {
  return `${status.inFlight} in flight${hindrance(status)}`
}

// Nothing is in flight and yet it is not drained.
function hindrance ({ mode, drained, inFlight }: Status): string {
  return mode === 'maintenance' && !drained && inFlight === 0 ? ', the application is still putting away what it holds' : ''
}

function renderHolder ({ name, by, since, reason, message, until, then, overdue }: HolderStatus, now: Date): string {
  const parts = [`${name}: by ${by} since ${clock(new Date(since), now)}`]
  if (until !== undefined) parts.push(`until ${clock(new Date(until), now)}, then ${then ?? 'stay'}${overdue ? ' (OVERDUE)' : ''}`)
  if (reason !== undefined) parts.push(`reason: ${reason}`)
  if (message !== undefined) parts.push(`message: ${message}`)
  return parts.join('; ')
}

/** `worker 0 serving, worker 1 stuck, stand-in loading` */
function renderWorkers (workers: readonly WorkerStatus[]): string {
  return workers.map(({ worker, role, state }) => `${role === 'stand-in' ? 'stand-in' : `worker ${worker}`} ${state}`).join(', ')
}

/** The workers that cannot tell what they have in flight, and what the others have, the oldest first. */
function listInFlight (status: Status): Pick<View, 'list' | 'unnamed'> {
  const unanswered = unansweredOf(status)
  const silent = status.workers.filter(worker => isSilent(worker) && !unanswered.some(other => other.worker === worker.worker))
  const named = status.stragglers.filter(isNamed)
  const list = [...unanswered, ...silent].map(renderSilent).concat(named.map(renderStraggler))
  // What ended while the workers were asked is in the count, and is nothing more; only a full list leaves any out.
  const rest = status.inFlight - list.reduce((sum, { count }) => sum + count, 0)
  return { list, unnamed: named.length < MOST_STRAGGLERS ? 0 : Math.max(0, rest) }
}

function isNamed (straggler: Straggler): straggler is NamedStraggler {
  return 'what' in straggler
}

function isSilent ({ state, silentMs }: WorkerStatus): boolean {
  return state !== 'down' && silentMs > SILENT_MS
}

function renderSilent ({ worker, silentMs, inFlight }: UnansweredWorker): Entry {
  return { text: `  worker ${worker} has not answered for ${seconds(silentMs)} (${inFlight} in flight)`, count: inFlight }
}

function renderStraggler ({ what, ageMs, worker, clientGone }: NamedStraggler): Entry {
  return { text: `  ${printable(what)}, ${seconds(ageMs)} (worker ${worker}${clientGone ? ', its client has gone' : ''})`, count: 1 }
}

// The path of an upgrade is whatever a client has sent.
function printable (text: string): string {
  return text.slice(0, MOST_WHAT).replace(/\p{C}/gu, '?')
}

function seconds (milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`
}

// Today's times without a date, in local time.
function clock (date: Date, now: Date): string {
  const time = date.toTimeString().slice(0, 8)
  return date.toDateString() === now.toDateString() ? time : `${date.toLocaleDateString('sv')} ${time}`
}
