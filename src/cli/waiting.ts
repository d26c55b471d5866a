// Waiting for the service to be drained or live.

import type { Status } from '../control/protocol.ts'
import type { Client } from './client.ts'
import type { Terminal } from './command.ts'
import { Failure } from './failure.ts'
import { openProgress } from './progress.ts'
import { renderInFlight } from './render.ts'

export interface Waiting {
  until: 'drained' | 'live'
  /** Whose claim must stand all the while; where it has ended, somebody else may be about to open. */
  holder?: string
  /** Undefined: without end. */
  timeoutMs: number | undefined
  json: boolean
  /** How things stood before. */
  heard?: Status
  /** How long the service may be away, where that is not the client's to know. */
  patienceMs?: number
}

// What timers take: nearly 25 days.
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1
// A signal that was sent just before this has surely been taken by then.
const SIGNAL_MS = 2_000
// Whoever set a timeout does not want to wait long for what there is to say at its end.
const LAST_LOOK_MS = 1_000

/**
 * @returns the status at the end
 * @throws Failure `timeout`, with the status printed where JSON is wanted; `refused` when it cannot come any more;
 * `interrupted` on Ctrl-C; or as the client does
 */
export async function waitFor (waiting: Waiting, client: Client, terminal: Terminal): Promise<Status> {
  const { until, holder, timeoutMs, json, patienceMs } = waiting
  const end = new AbortController()
  const timer = timeoutMs === undefined ? undefined : setTimeout(() => end.abort('timeout'), Math.min(timeoutMs, LONGEST_TIMEOUT_MS))
  const interrupt = (): void => end.abort('interrupted')
  terminal.interrupted.addEventListener('abort', interrupt, { once: true })
  if (terminal.interrupted.aborted) interrupt()
  const progress = openProgress(terminal, json)
  let last = waiting.heard
  let isAway = false
  let wasInMaintenance = holder !== undefined
  let unheard: NodeJS.Timeout | undefined
  if (last !== undefined) tell(last)
  try {
    for await (const heard of client.follow(end.signal, patienceMs)) {
      isAway = heard === 'away'
      if (heard === 'away') {
        progress.away()
        continue
      }
      last = heard
      if (isReached(last, until)) {
        progress.clear()
        return last
      }
      if (last.mode !== 'live') {
        wasInMaintenance = true
        clearTimeout(unheard)
        if (holder !== undefined && !isHeld(last, holder)) {
          throw new Failure('refused', `the claim of ${holder} was ended while this waited; others hold maintenance`)
        }
      } else if (until === 'drained') {
        if (wasInMaintenance) throw new Failure('refused', 'maintenance was left while this waited: the service is live')
        unheard ??= setTimeout(() => end.abort('not in maintenance'), SIGNAL_MS)
      }
      tell(last)
    }
  } finally {
    clearTimeout(timer)
    clearTimeout(unheard)
    terminal.interrupted.removeEventListener('abort', interrupt)
  }
  switch (end.signal.reason) {
    case 'not in maintenance': throw new Failure('refused', 'nobody has entered maintenance: the service is live')
    case 'interrupted': throw new Failure('interrupted', `stopped waiting${whereItStands(last, isAway)}`)
  }
  // What is in flight now, and not when it was last told.
  let status: Status
  let isOld = false
  try {
    status = await client.status(LAST_LOOK_MS)
  } catch (error) {
    const isMute = error instanceof Failure && error.kind === 'lost' && !isAway
    if (!isMute || last === undefined) throw error
    status = last
    isOld = true
  }
  if (isReached(status, until)) return status
  if (json) terminal.out(JSON.stringify(status))
  throw new Failure('timeout', `not ${until} in time; ${isOld ? 'the service does not answer; when it was last heard of, ' : ''}` +
    (status.mode === 'live' ? 'the service is live' : `maintenance stays on, ${renderInFlight(status)}`))

  function tell (status: Status): void {
    if (until === 'drained' && status.mode !== 'live') progress.show(status)
  }
}

export function isHeld ({ holders }: Status, holder: string): boolean {
  return holders.some(({ name }) => name === holder)
}

function isReached ({ mode, drained }: Status, until: Waiting['until']): boolean {
  return until === 'live' ? mode === 'live' : mode !== 'live' && drained
}

function whereItStands (last: Status | undefined, isAway: boolean): string {
  if (last === undefined) return ' for a service that was not heard of yet; how things stand: myserverctl status'
  if (last.mode === 'live') return isAway ? '. The service is away, and was live.' : '. The service is live.'
  return `. ${isAway ? 'The service is away; maintenance stays on through restarts' : 'Maintenance stays on'}; to leave it: myserverctl off`
}
