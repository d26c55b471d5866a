// What a worker serves, whatever it is made of.

import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Entry } from '../maintenance/entries.ts'
import type { Notice } from '../maintenance/responses.ts'

export interface Served {
  readonly server: Server
  /** Every open connection, upgraded ones too; Node's server forgets those. */
  readonly connections: ReadonlySet<Socket>
  setNotice (notice: Notice): void
  /** What is in flight, the oldest first. */
  readonly inFlight: Iterable<Entry>
  /** Nothing is in flight any more. @returns what the application failed to put away */
  drained (): Promise<string[]>
  /** Lets the application put away what it holds. Its requests are over, but perhaps not its upgraded connections. */
  end (): Promise<void>
}

/** Cuts off every connection that is left. */
export function cutOff ({ connections }: Pick<Served, 'connections'>): void {
  for (const socket of connections) socket.destroy()
}

/** @returns the server's open connections, kept up to date */
export function trackConnections (server: Server): ReadonlySet<Socket> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  return sockets
}
