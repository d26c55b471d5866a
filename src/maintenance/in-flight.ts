// Tells when an admitted request is over: its response has finished or its connection has closed, and its handlers
// have settled. A client that hangs up does not make a running database write go away.

import type { ServerResponse } from 'node:http'
import type { FastifyReply } from 'fastify'
import type { Entry, InFlight } from './entries.ts'
import type { Gate } from './switch.ts'

/** Stands in the configuration of routes whose handler is followed: Fastify binds handlers, which loses any mark on them. */
export const followed = Symbol('followed')
/** `done`: the handler has ended. `replies`: it ended, or left its reply to a callback or to Fastify's error handling. */
type Settlement = 'done' | 'replies'

const ticketOf = Symbol('ticket')

declare module 'node:http' {
  interface ServerResponse {
    [ticketOf]?: Ticket
  }
}

// One listener for all responses: a closure for each would be felt.
function closeTicket (this: ServerResponse): void {
  this[ticketOf]?.closed()
}

/** One admitted request. */
export class Ticket implements Entry {
  readonly startedMs = performance.now()
  older: Entry | undefined
  newer: Entry | undefined
  readonly #reply: FastifyReply
  readonly #gate: Gate
  readonly #safe: boolean
  readonly #inFlight: InFlight
  /** Handlers, of errors too, and onResponse hooks that have begun and not settled. */
  #running = 0
  #closed = false
  #replying = false
  #over = false

  /** @param gate where it was admitted, as `safe` or not, and is released once it is over */
  constructor (reply: FastifyReply, gate: Gate, safe: boolean, inFlight: InFlight) {
    this.#reply = reply
    this.#gate = gate
    this.#safe = safe
    this.#inFlight = inFlight
    inFlight.add(this)
    reply.raw[ticketOf] = this
    reply.raw.on('close', closeTicket)
  }

  get what (): string {
    const { method, routeOptions: { url } } = this.#reply.request
    return `${method} ${url ?? '(no route)'}`
  }

  get clientGone (): boolean {
    return this.#closed && !this.#reply.raw.writableFinished
  }

  cut (): boolean {
    const { socket } = this.#reply.request.raw
    if (socket.destroyed) return false
    socket.destroy()
    return true
  }

  started (): void {
    this.#running++
  }

  settled (settlement: Settlement): void {
    this.#running--
    if (this.#closed && this.#running === 0 && (settlement === 'done' || this.#isAnswered())) this.#end()
  }

  /** A reply was sent, by whomever; its hooks may still run. */
  replying (): void {
    this.#replying = true
    if (this.#closed && this.#running === 0) this.#end()
  }

  closed (): void {
    this.#closed = true
    if (this.#running > 0) return
    // Nothing was sent and no promise is pending: an aborted request whose hooks, or whose handler in callback
    // style, go on.
    const isFollowed = followed in (this.#reply.request.routeOptions.config ?? {})
    if (this.#isAnswered() || !isFollowed) this.#end()
  }

  #isAnswered (): boolean {
    return this.#replying || this.#reply.sent
  }

  #end (): void {
    if (this.#over) return
    this.#over = true
    this.#inFlight.delete(this)
    this.#gate.release(this.#safe)
  }
}
