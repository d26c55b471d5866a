// Closing without breaking a connection: stop accepting, answer what still comes with `Connection: close`, wait for
// what is running, and only then close what is idle.

import type { Server, ServerResponse } from 'node:http'
import { Server as NetServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { upgradedSockets } from '../maintenance/connections.ts'
import type { Gate } from '../maintenance/switch.ts'
import { within } from '../within.ts'
import { cutOff, type Served } from './served.ts'

// A connection that was just accepted counts as idle, and its request is on the way: it gets so long to arrive.
const LINGER_MS = 500
const POLL_MS = 10
// How long an application may take to put away what it holds when the grace is over; the control plane ends it after that.
const LAST_HOOKS_MS = 3_000

/**
 * Resolves when everything is closed, at the latest when the grace is over; then what was left has been cut off.
 * Rejects with what the application throws while it closes.
 */
export async function closeGracefully (served: Served, gate: Gate, graceMs: number): Promise<void> {
  const { server } = served
  const deadline = performance.now() + graceMs
  tellThatItCloses(server)
  // http.Server's own close() ends idle connections at once, those just accepted among them.
  const closed = new Promise(resolve => NetServer.prototype.close.call(server, resolve))

  await sleep(Math.min(LINGER_MS, graceMs))
  // An upgraded connection ends when its application closes it, which it is asked for below.
  while (gate.inFlight > upgradedSockets(server).size && performance.now() < deadline) await sleep(POLL_MS)
  server.closeIdleConnections()
  // Node does not count as idle what has never sent anything: a browser's connection in advance, for example.
  for (const socket of served.connections) {
    if (socket.bytesRead === 0) socket.destroy()
  }
  const ended = served.end()
  try {
    await within(Math.max(0, deadline - performance.now()), Promise.all([ended, closed]))
  } finally {
    cutOff(served)
  }
  // Fastify runs onClose hooks when the last connection is closed, which may have been just now.
  await within(LAST_HOOKS_MS, ended)
}

// Not a listener: what is refused does not get that far.
function tellThatItCloses (server: Server): void {
  const emit = server.emit as (this: Server, event: string, ...args: unknown[]) => boolean
  server.emit = function (event: string, ...args: unknown[]): boolean {
    if (event === 'request') (args[1] as ServerResponse).setHeader('Connection', 'close')
    return emit.call(this, event, ...args)
  }
}
