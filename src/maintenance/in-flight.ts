// Tells when an admitted request is over: its response has finished or its connection has closed, and all that the
// application runs for it has settled. A client that hangs up does not make a running database write go away.

import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyReply } from 'fastify'
import type { Entry, InFlight } from './entries.ts'
import type { Gate } from './switch.ts'

/** Stands in the configuration of routes whose handler is followed: Fastify binds handlers, which loses any mark on them. */
export const followed = Symbol('followed')

const ticketOf = Symbol('ticket')

declare module 'node:http' {
  interface ServerResponse {
    [ticketOf]?: Ticket
  }
}

/** The ticket of a response whose request was admitted; one that an application sends through its routes again has one. */
export function ticketFor (response: ServerResponse): Ticket | undefined {
  return response[ticketOf]
}

// One listener for all responses: a closure for each would be felt.
function closeTicket (this: ServerResponse): void {
  this[ticketOf]?.closed()
}

function look (ticket: Ticket): void {
  ticket.endIfOver()
}

/** One admitted request. */
export class Ticket implements Entry {
  readonly startedMs: number
  older: Entry | undefined
  newer: Entry | undefined
  readonly #reply: FastifyReply
  readonly #gate: Gate
  readonly #safe: boolean
  readonly #inFlight: InFlight
  /** Hooks and handlers that have begun and not settled. */
  #running = 0
  #isClosed = false
  /** Whether nobody is expected to reply any more: somebody has, or the handler has ended and left it at that. */
  #isReplied = false
  /** Whether somebody waits for the reply, which Fastify makes a promise of: `return reply`. */
  #isAwaited = false
  #isOver = false

  /** @param gate where it was admitted, as `safe` or not, and is released once it is over */
  constructor (reply: FastifyReply, gate: Gate, safe: boolean, inFlight: InFlight) {
    this.#reply = reply
    this.#gate = gate
    this.#safe = safe
    this.#inFlight = inFlight
    this.startedMs = inFlight.nowMs
    inFlight.add(this)
    const { raw } = reply
    raw[ticketOf] = this
    // Its client may have gone while a hook before the plugin's ran.
    if (raw.destroyed) this.closed()
    else raw.on('close', closeTicket)
  }

  get what (): string {
    const { method, routeOptions: { url } } = this.#reply.request
    return `${method} ${url ?? '(no route)'}`
  }

  get clientGone (): boolean {
    return this.#isClosed && !this.#reply.raw.writableFinished
  }

  /** Whether its response is still to be written to a connection. */
  isOwedTo (socket: Socket): boolean {
    return !this.#isClosed && this.#reply.request.raw.socket === socket
  }

  cut (): boolean {
    const { socket } = this.#reply.request.raw
    // A connection that has had its response belongs to the request after it.
    if (this.#isClosed || socket.destroyed) return false
    socket.destroy()
    return true
  }

  /** A connection that Node has forgotten has closed: says so to all that wait for it, as Node would have done. */
  abandon (): void {
    if (this.#isClosed) return
    const { raw, request } = this.#reply
    request.raw.destroy()
    raw.destroyed = true
    Object.assign(raw, { _closed: true })
    raw.emit('close')
  }

  /** A hook or handler has begun. */
  started (): void {
    this.#running++
  }

  /** It has settled, and what Fastify does then is on its way. */
  settled (): void {
    this.#running--
    this.#lookSoon()
  }

  /** A handler has begun, of an error perhaps that came instead of a reply: it is to reply. */
  handling (): void {
    this.#isReplied = false
  }

  /** A handler's promise has settled. @param result for an aborted request Fastify sends nothing where it is undefined */
  handled (result: unknown): void {
    if (result === undefined && !this.#isAwaited) this.#isReplied = true
    this.settled()
  }

  /** A reply is being sent, by whomever; its hooks are to run. */
  replied (): void {
    this.#isReplied = true
    this.#lookSoon()
  }

  /** Somebody is to send a reply, and somebody waits for it. */
  awaited (): void {
    this.#isAwaited = true
  }

  closed (): void {
    this.#isClosed = true
    // Hooks for aborted requests begin after this.
    if (this.#reply.raw.writableFinished) {
      this.endIfOver()
      return
    }
    this.#lookSoon()
    this.#watchRaw()
  }

  /** Ends what has closed, has settled, and is not waited for. */
  endIfOver (): void {
    if (this.#isOver || !this.#isClosed || this.#running > 0 || !this.#isAnswered()) return
    this.#isOver = true
    this.#inFlight.delete(this)
    this.#gate.release(this.#safe)
  }

  // Between a hook that has settled and what comes next Fastify takes a turn of the event loop at most, unless it reads
  // the body, which nobody has replied to yet.
  #lookSoon (): void {
    if (this.#isClosed && this.#running === 0) setImmediate(look, this)
  }

  // What replies past Fastify when its client has gone tells nobody.
  #watchRaw (): void {
    const { raw } = this.#reply
    for (const name of ['writeHead', 'write', 'end'] as const) {
      const method = raw[name] as (...args: unknown[]) => unknown
      Object.defineProperty(raw, name, {
        configurable: true,
        value: (...args: unknown[]) => {
          this.replied()
          return method.apply(raw, args)
        }
      })
    }
  }

  #isAnswered (): boolean {
    const { raw, sent, request } = this.#reply
    // A hijacked reply, or one that was written past Fastify, is its application's own business.
    return this.#isReplied || sent || raw.headersSent || !isFollowed(request.routeOptions.config)
  }
}

// What is not found has no URL; the routes without the mark are those that were declared before the plugin came.
function isFollowed (config: object & { url?: unknown }): boolean {
  return followed in config || config.url === undefined
}
