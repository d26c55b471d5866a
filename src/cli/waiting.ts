// Waiting for the service to be drained or live, and showing how far it is.

import { paths, type Status } from '../control/protocol.ts'
import type { Client } from './client.ts'
import type { Terminal } from './command.ts'
import { Failure } from './failure.ts'
import { gistOfInFlight, renderInFlight, renderProgress } from './render.ts'

export interface Waiting {
  until: 'drained' | 'live'
  /** Undefined: without end. */
  timeoutMs: number | undefined
  json: boolean
}

// What timers take: nearly 25 days.
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1
// To a pipe, what is in flight is told when it changes, and not more often than this.
const LINE_MS = 1_000

/**
 * @returns the status at the end
 * @throws Failure `refused` on timeout or when it cannot come any more, `interrupted` on Ctrl-C
 */
export async function waitFor ({ until, timeoutMs, json }: Waiting, client: Client, terminal: Terminal): Promise<Status> {
  const end = new AbortController()
  const timer = timeoutMs === undefined ? undefined : setTimeout(() => end.abort('timeout'), Math.min(timeoutMs, LONGEST_TIMEOUT_MS))
  const interrupt = (): void => end.abort('interrupted')
  terminal.interrupted.addEventListener('abort', interrupt, { once: true })
  if (terminal.interrupted.aborted) interrupt()
  let status: Status | undefined
  let atFirst = 0
  let told = { gist: '', atMs: -Infinity }
  try {
    for await (const line of client.follow(end.signal)) {
      status = line.status
      if (until === 'live' ? status.mode === 'live' : status.mode !== 'live' && status.drained) {
        terminal.redraw?.('')
        return status
      }
      if (until === 'drained' && status.mode === 'live') {
        throw new Failure('refused', 'maintenance was left while this waited: the service is live')
      }
      atFirst = Math.max(atFirst, status.inFlight)
      if (!json) tell(status)
    }
  } finally {
    clearTimeout(timer)
    terminal.interrupted.removeEventListener('abort', interrupt)
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
