// How far the waiting is, shown in place on a terminal, and to a pipe in lines when there is news.

import type { Status } from '../control/protocol.ts'
import type { Terminal } from './command.ts'
import { gistOfInFlight, renderInFlight, viewProgress } from './render.ts'
import type { View } from './view.ts'

/** Said of a service that was heard of, and is not there. */
export const AWAY = 'the service is away, waiting'

// What is in flight is told when it changes, and not more often than this.
const LINE_MS = 1_000

export interface Progress {
  show (status: Status): void
  away (): void
  /** Takes it away where it was shown in place. */
  clear (): void
}

/** @param json whether standard output is for JSON alone */
export function openProgress ({ out, err, redraw }: Terminal, json: boolean): Progress {
  let atFirst = 0
  let told = { gist: '', atMs: -Infinity }
  let view: View = { head: [], list: [], unnamed: 0, foot: [] }
  return {
    show (status) {
      atFirst = Math.max(atFirst, status.inFlight)
      if (json) return
      view = viewProgress(status, atFirst)
      if (redraw !== undefined) {
        redraw(view)
        return
      }
      const gist = gistOfInFlight(status)
      if (gist === told.gist || performance.now() - told.atMs < LINE_MS) return
      told = { gist, atMs: performance.now() }
      out(renderInFlight(status))
    },
    away () {
      told = { gist: '', atMs: -Infinity }
      if (json) err(AWAY)
      else if (redraw !== undefined) redraw({ ...view, head: [AWAY, ...view.head] })
      else out(AWAY)
    },
    clear: () => redraw?.(undefined)
  }
}
