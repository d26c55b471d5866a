// What a command is given, and what it is.

import type { Client } from './client.ts'
import type { View } from './view.ts'

export interface Terminal {
  out (text: string): void
  err (text: string): void
  /** Shows a view in place of what it showed before, or takes that away; only on a terminal. */
  redraw: ((view: View | undefined) => void) | undefined
  /** Aborts on Ctrl-C. */
  interrupted: AbortSignal
  /** Aborts on SIGTERM, which then does not end the process. */
  terminated (): AbortSignal
  /** Tells systemd, where it has started this process. @returns false where it does not listen any more */
  notify (state: Readonly<Record<string, string | number>>): boolean
  /** Has systemd remember, until the unit ends, that the process came so far. */
  remember (): void
  /** Undoes that. */
  forget (): void
  /** Whether systemd started this process in place of one that came so far, and was killed. */
  isSuccessor (): boolean
}

export interface Command {
  summary: string
  help: string
  /** @returns the exit code; throws Failure, and HelpWanted */
  run (args: readonly string[], connect: (socket: string | undefined) => Client, terminal: Terminal): Promise<number>
}
