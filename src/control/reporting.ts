// Puts what happens into words: log lines, native journal entries, and the status line that systemd shows.

import type { Logger } from '../log.ts'
import { isOverdue } from './holders.ts'
import type { OperatorEvent, OperatorStatus } from './operator.ts'
import type { WorkerEvent } from './worker-slot.ts'

export type ServiceEvent = OperatorEvent | WorkerEvent

interface Wording {
  level: 'info' | 'warn' | 'error'
  message: string
  /** The journal's MESSAGE_ID of a transition; README.md lists them. */
  id?: string
}

/** How each event is logged. The message is constant; what varies stands in the line's other fields. */
export const wordings: Readonly<Record<ServiceEvent['event'], Wording>> = {
  'maintenance-entered': { level: 'warn', message: 'maintenance entered', id: '5d2c1a0f6b8e4c5d9f1e7a3b60c4d281' },
  'maintenance-drained': { level: 'info', message: 'drained: nothing is in flight', id: '8e0b7f42c9a14f0db3d6512e97a8c03f' },
  'maintenance-left': { level: 'info', message: 'maintenance left', id: 'c47f91e3d2b04a6a8b5c0e1f7d9362ab' },
  'maintenance-joined': { level: 'warn', message: 'one more holds maintenance' },
  'maintenance-updated': { level: 'warn', message: 'maintenance stays on, and what was said about it has changed' },
  'maintenance-released': { level: 'info', message: 'one holder less; maintenance stays on' },
  'maintenance-overdue': { level: 'error', message: 'the end of maintenance has passed, and it is still on' },
  'drained-hook-failed': { level: 'error', message: 'the application failed to put away what it holds' },
  'clock-set': { level: 'warn', message: 'the clock was set: ends that count as durations moved along' },
  'maintenance-unchanged': { level: 'info', message: 'nothing to change: the mode is as asked for' },
  'leave-waiting': { level: 'warn', message: 'leaving waits until the application serves' },
  'leave-joined': { level: 'info', message: 'leaving is under way already' },
  'leave-cancelled': { level: 'warn', message: 'leaving was cancelled: maintenance stays on' },
  'leave-refused': { level: 'error', message: 'maintenance stays on' },
  'record-unwritable': { level: 'error', message: 'the record cannot be written; trying again' },
  'witness-failed': { level: 'error', message: 'systemd could not be told of the witness beside the record; trying again' },
  'record-written': { level: 'info', message: 'the record is written again' },
  'worker-serving': { level: 'info', message: 'worker serves' },
  'worker-died': { level: 'error', message: 'worker died and is replaced' },
  'worker-stuck': { level: 'error', message: 'worker does not answer' },
  'worker-recovered': { level: 'warn', message: 'worker answers again' },
  'worker-replaced': { level: 'error', message: 'worker has not answered for too long and is ended' }
}

/** Logs an event; a transition becomes a native journal entry where there is a journal. */
export function logEvent (logger: Logger, event: ServiceEvent, extra: Readonly<Record<string, unknown>> = {}): void {
  const { level, message, id } = wordings[event.event]
  const line: Record<string, unknown> = { ...event, ...extra }
  if (id !== undefined) {
    const journal: Record<string, string | number> = { MESSAGE_ID: id, MYSERVER_EVENT: event.event }
    for (const [name, value] of Object.entries(line)) {
      if (name !== 'event') journal[`MYSERVER_${name.replace(/[A-Z]/g, letter => `_${letter}`).toUpperCase()}`] = String(value)
    }
    // Transitions are told at every level, but not against the wish for silence.
    const told = logger.level === 'silent' || logger.isLevelEnabled(level) ? logger : logger.child({}, { level })
    told[level](withHidden(line, journal), message)
    return
  }
  logger[level](line, message)
}

// The journal's fields travel beside the line, not in it.
function withHidden (line: Record<string, unknown>, journal: Record<string, string | number>): Record<string, unknown> {
  return Object.defineProperty(line, 'journal', { value: journal, enumerable: false })
}

/** `live`, or `maintenance since 14:02:11, drained, 1234 requests refused`. */
export function statusText (status: OperatorStatus, refused: number, now: Date): string {
  if (status.mode === 'live') return 'live'
  const parts = [
    `${status.mode} since ${status.since.toTimeString().slice(0, 8)}`,
    status.drained ? 'drained' : `${status.inFlight} in flight`,
    `${refused} ${refused === 1 ? 'request' : 'requests'} refused`
  ]
  const overdue = status.holders.filter(holder => isOverdue(holder, now)).map(({ name }) => name)
  if (overdue.length > 0) parts.push(`OVERDUE: ${overdue.join(', ')}`)
  if (status.leaving) parts.push('leaving as soon as the application and the check allow it')
  if (!status.durable) parts.push('NOT on disk: would not survive a reboot')
  else if (!status.recorded) parts.push('NOT on disk: a reboot would stay in maintenance and not know why')
  return parts.join(', ')
}
