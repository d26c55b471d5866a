// A view on a terminal, drawn in place of the one before.

import type { WriteStream } from 'node:tty'
import { createLogUpdate } from 'log-update'
import { fitView, type View } from './view.ts'

// log-update keeps the last rows, and one of its own for the cursor: what is first would go first.
const CURSOR_ROWS = 1

/** @returns draws a view; undefined takes away what was drawn */
export function openScreen (stdout: WriteStream): (view: View | undefined) => void {
  const update = createLogUpdate(stdout)
  return view => {
    if (view === undefined) update.clear()
    else update(fitView(view, stdout.rows - CURSOR_ROWS, stdout.columns))
  }
}
