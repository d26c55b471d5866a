// What reaches a Node server without passing Fastify's hooks: upgrades, CONNECT, and Expect: 100-continue. It puts
// the same gate in front of them.

import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Entry, InFlight } from './entries.ts'
import { Ticket } from './in-flight.ts'
import { isAfterLast } from './responses.ts'
import type { Gate } from './switch.ts'

/**
 * What the response's client expects before it sends its body: answered when the request is admitted, so that a refused
 * client sends none. `continue`: 100 (Continue); `unknown`: something that Node answers with 417.
 */
export const expectation = Symbol('expectation')

declare module 'node:http' {
  interface ServerResponse {
    [expectation]?: 'continue' | 'unknown'
  }
}

const countedAsUpgrade = Symbol('counted as upgrade')

/** Whether it was counted when its connection was upgraded: a plugin may route it through Fastify afterwards. */
export function isCountedUpgrade (request: IncomingMessage & { upgrade?: boolean }): boolean {
  return request.upgrade === true && countedAsUpgrade in request
}

/** The gate with what those who are not admitted get. */
export interface Doorkeeper {
  gate: Gate
  inFlight: InFlight
  /** Whether requests of this method are refused now, whatever route they are for. */
  refusesAll (method: string): boolean
  refuse (request: IncomingMessage, response: ServerResponse): void
  refuseRaw (request: IncomingMessage, socket: Duplex): void
}

const upgraded = new WeakMap<Server, Set<Socket>>()

/** The upgraded connections that are still open; Node's server forgets them. */
export function upgradedSockets (server: Server): ReadonlySet<Socket> {
  return upgraded.get(server) ?? new Set()
}

/** @param wholeServer whether what cannot be told to belong to a route is under the switch */
export function guardConnections (server: Server, { gate, inFlight, refusesAll, refuse, refuseRaw }: Doorkeeper, wholeServer: boolean): void {
  for (const [event, expected] of [['checkContinue', 'continue'], ['checkExpectation', 'unknown']] as const) {
    server.on(event, (request: IncomingMessage, response: ServerResponse) => {
      response[expectation] = expected
      server.emit('request', request, response)
    })
  }
  const sockets = new Set<Socket>()
  upgraded.set(server, sockets)
  // Without a listener Node closes a CONNECT without a word and the guard below never sees it.
  const closeUnheard = (_request: IncomingMessage, socket: Socket): void => {
    if (server.listenerCount('connect') === 1) socket.destroy()
  }
  server.on('connect', closeUnheard)

  // The hook would refuse it as well. But what an application has Fastify do before any hook, such as looking up a tenant
  // whose route it is, may want the very database that is being worked on.
  const stops = (request: IncomingMessage, response: ServerResponse): boolean => {
    if (isAfterLast(request)) return true
    if (!refusesAll(request.method ?? '')) return false
    refuse(request, response)
    return true
  }

  // In place of listeners, of which there may be any number, added at any time, each acting on its own.
  const emit = server.emit as (this: Server, event: string, ...args: unknown[]) => boolean
  server.emit = function (event: string, first?: unknown, second?: unknown, ...more: unknown[]): boolean {
    // Each request is an event too.
    if (event === 'request') return stops(first as IncomingMessage, second as ServerResponse) || emit.call(this, event, first, second)
    if (event !== 'upgrade' && event !== 'connect') return emit.call(this, event, first, second, ...more)
    const [request, socket] = [first as IncomingMessage, second as Socket]
    const owed = [...inFlight].filter(entry => entry instanceof Ticket && entry.isOwedTo(socket)) as Ticket[]
    if (owed.length > 0) {
      breakOff(socket, owed)
      return true
    }
    if (!wholeServer) return emit.call(this, event, first, second, ...more)
    // What an upgraded connection will be used for cannot be known, so it never counts as safe.
    if (!gate.admit(false)) {
      refuseRaw(request, socket)
      return true
    }
    Object.defineProperty(request, countedAsUpgrade, { value: true })
    const entry = upgradeEntry(request, socket)
    inFlight.add(entry)
    sockets.add(socket)
    socket.once('close', () => {
      inFlight.delete(entry)
      sockets.delete(socket)
      gate.release(false)
    })
    return emit.call(this, event, first, second, ...more)
  }
}

// Node hands over the connection of an upgrade although answers to earlier requests are still owed on it, and forgets
// those requests: their answers would mix with what the upgrade sends, and their ends would never be told.
function breakOff (socket: Socket, owed: readonly Ticket[]): void {
  socket.once('close', () => {
    for (const ticket of owed) ticket.abandon()
  })
  socket.destroy()
}

function upgradeEntry (request: IncomingMessage, socket: Socket): Entry {
  return {
    what: `UPGRADE ${request.url?.split('?')[0] ?? ''}`,
    startedMs: performance.now(),
    get clientGone () { return socket.destroyed },
    cut () {
      if (socket.destroyed) return false
      socket.destroy()
      return true
    }
  }
}
