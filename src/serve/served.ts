// What a worker serves, whatever it is made of.

import type { Server } from 'node:http'
import type { Entry } from '../maintenance/in-flight.ts'
import type { Notice } from '../maintenance/responses.ts'

export interface Served {
  readonly server: Server
  setNotice (notice: Notice): void
  /** What is in flight, the oldest first. */
  readonly inFlight: ReadonlySet<Entry>
  /** Nothing is in flight any more. @returns what the application failed to put away */
  drained (): Promise<string[]>
  /** Lets the application put away what it holds. Its requests are over, but perhaps not its upgraded connections. */
  end (): Promise<void>
  /** Cuts off every connection that is left. */
  cut (): void
}
