// Closing without breaking a connection: stop accepting, answer what still comes with `Connection: close`, wait for
// what is running, and only then close what is idle.

import type { ServerResponse, IncomingMessage } from 'node:http'
import { Server as NetServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { upgradedSockets } from '../maintenance/connections.ts'
import type { Gate } from '../maintenance/switch.ts'
import { cutOff, type Served } from './served.ts'

// A connection that was just accepted counts as idle, and its request is on the way: it gets so long to arrive.
const LINGER_MS = 500
const POLL_MS = 10

/**
 * Resolves when everything is closed, at the latest when the grace is over; then what was left has been cut off.
 * Rejects with what the application throws while it closes.
 */
export async function closeGracefully (served: Served, gate: Gate, graceMs: number): Promise<void> {
  const { server } = served
  const deadline = performance.now() + graceMs
  server.prependListener('request', (_request: IncomingMessage, response: ServerResponse) => {
    response.setHeader('Connection', 'close')
  })
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
  const inTime = new AbortController()
  const late = sleep(Math.max(0, deadline - performance.now()), undefined, { signal: inTime.signal }).catch(() => {})
  try {
    await Promise.race([Promise.all([served.end(), closed]), late])
  } finally {
    inTime.abort()
    cutOff(served)
  }
}
