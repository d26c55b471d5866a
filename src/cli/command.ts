// What a command is given, and what it is.

import type { Client } from './client.ts'

export interface Terminal {
  out (text: string): void
  err (text: string): void
  /** Shows text in place of what it showed before; only on a terminal. */
  redraw: ((text: string) => void) | undefined
  /** Aborts on Ctrl-C. */
  interrupted: AbortSignal
  /** Aborts on SIGTERM, which then does not end the process. */
  terminated (): AbortSignal
  /** Tells systemd, where it listens. */
  notify (state: Readonly<Record<string, string | number>>): void
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
  /** @returns the exit code; throws Failure */
  run (args: readonly string[], connect: (socket: string | undefined) => Client, terminal: Terminal): Promise<number>
}
