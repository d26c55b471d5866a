// Waiting for the service to be drained or live, and showing how far it is.

import { paths, type Status } from '../control/protocol.ts'
import type { Client } from './client.ts'
import type { Terminal } from './command.ts'
import { Failure } from './failure.ts'
import { gistOfInFlight, renderInFlight, renderProgress } from './render.ts'

export interface Waiting {
  until: 'drained' | 'live'
  /** Whose claim must stand all the while; where it has ended, somebody else may be about to open. */
  holder?: string
  /** Undefined: without end. */
  timeoutMs: number | undefined
  json: boolean
}

// What timers take: nearly 25 days.
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1
// A signal that was sent just before this has surely been taken by then.
const SIGNAL_MS = 2_000
// To a pipe, what is in flight is told when it changes, and not more often than this.
const LINE_MS = 1_000

/**
 * @returns the status at the end
 * @throws Failure `refused` on timeout or when it cannot come any more, `interrupted` on Ctrl-C
 */
export async function waitFor ({ until, holder, timeoutMs, json }: Waiting, client: Client, terminal: Terminal): Promise<Status> {
  const end = new AbortController()
  const timer = timeoutMs === undefined ? undefined : setTimeout(() => end.abort('timeout'), Math.min(timeoutMs, LONGEST_TIMEOUT_MS))
  const interrupt = (): void => end.abort('interrupted')
  terminal.interrupted.addEventListener('abort', interrupt, { once: true })
  if (terminal.interrupted.aborted) interrupt()
  let status: Status | undefined
  let wasInMaintenance = holder !== undefined
  let unheard: NodeJS.Timeout | undefined
  let atFirst = 0
  let told = { gist: '', atMs: -Infinity }
  try {
    for await (const line of client.follow(end.signal)) {
      status = line.status
      if (status.mode !== 'live') {
        wasInMaintenance = true
        clearTimeout(unheard)
        if (holder !== undefined && !status.holders.some(({ name }) => name === holder)) {
          throw new Failure('refused', `the claim of ${holder} was ended while this waited; others hold maintenance`)
        }
      }
      if (until === 'live' ? status.mode === 'live' : status.mode !== 'live' && status.drained) {
        terminal.redraw?.('')
        return status
      }
      if (until === 'drained' && status.mode === 'live') {
        if (wasInMaintenance) throw new Failure('refused', 'maintenance was left while this waited: the service is live')
        unheard ??= setTimeout(() => end.abort('not in maintenance'), SIGNAL_MS)
      }
      atFirst = Math.max(atFirst, status.inFlight)
      if (!json && status.mode !== 'live') tell(status)
    }
  } finally {
    clearTimeout(timer)
    clearTimeout(unheard)
    terminal.interrupted.removeEventListener('abort', interrupt)
  }
  if (end.signal.reason === 'not in maintenance') {
    throw new Failure('refused', 'nobody has entered maintenance: the service is live')
  }
  if (end.signal.reason === 'interrupted') {
    throw new Failure('interrupted', 'stopped waiting. ' + (status?.mode === 'live'
      ? 'The service is live.'
      : 'Maintenance stays on; to leave it: myserverctl off'))
  }
  // What is in flight now, and not when its count last changed.
  status = await client.call<Status>('GET', paths.status)
  throw new Failure('refused', [
    `not ${until} in time; ${status.mode === 'live' ? 'the service is live' : `maintenance stays on, ${status.inFlight} in flight`}`,
    ...renderInFlight(status)
  ].join('\n'))

  function tell (status: Status): void {
    if (until === 'live') return
    if (terminal.redraw !== undefined) {
      terminal.redraw(renderProgress(status, atFirst))
      return
    }
    const gist = gistOfInFlight(status)
    if (gist !== told.gist && performance.now() - told.atMs >= LINE_MS) {
      told = { gist, atMs: performance.now() }
      terminal.out([`${status.inFlight} in flight`, ...renderInFlight(status)].join('\n'))
    }
  }
}
