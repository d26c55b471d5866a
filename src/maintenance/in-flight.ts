// Tells when an admitted request is over: its response has finished or its connection has closed, and its handler
// has settled. A client that hangs up does not make a running database write go away.

import type { ServerResponse } from 'node:http'
import type { FastifyContextConfig, FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import type { Entry, InFlight } from './entries.ts'
import type { Gate } from './switch.ts'

// Stands in the configuration of routes whose handler is wrapped: Fastify binds handlers, which loses any mark on them.
const followed = Symbol('followed')
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
  /** Handlers and onResponse hooks that have begun and not settled. */
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
    // style, go on. A handler that this module has not wrapped cannot be followed.
    if (this.#isAnswered() || !isFollowed(this.#reply.request)) this.#end()
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

/** Wraps a route's handler, as an `onRoute` hook, so that its ticket is told when it starts and settles. */
export function followHandler (route: RouteOptions): void {
  const { handler } = route
  route.config = { ...route.config, [followed]: true } as FastifyContextConfig
  if (route.onResponse !== undefined) {
    route.onResponse = [route.onResponse].flat().map(hook => followResponseHook(hook as ResponseHook)) as typeof route.onResponse
  }
  route.handler = function (request, reply) {
    const ticket = reply.maintenanceTicket
    if (ticket === null) return handler.call(this, request, reply)
    ticket.started()
    let result: unknown
    try {
      result = handler.call(this, request, reply)
    } catch (error) {
      ticket.settled('replies')
      throw error
    }
    // A reply is a thenable too, and returning it means: it will be sent from a callback.
    if (result !== reply && isPromise(result)) {
      // Fastify sends no reply for an aborted request whose handler returned nothing.
      result.then(() => ticket.settled('done'), () => ticket.settled('replies'))
    } else ticket.settled('replies')
    return result
  }
}

type ResponseHook = (this: FastifyInstance, request: FastifyRequest, reply: FastifyReply, done?: (error?: Error) => void) => unknown

/** Wraps an onResponse hook likewise: it runs when the response is finished, and may write to the database still. */
export function followResponseHook (hook: ResponseHook): ResponseHook {
  // Fastify tells the two kinds of hooks apart by how many arguments they take.
  if (hook.length >= 3) {
    return function (request, reply, done) {
      const ticket = reply.maintenanceTicket
      ticket?.started()
      return hook.call(this, request, reply, error => {
        done?.(error)
        ticket?.settled('replies')
      })
    }
  }
  return async function (request, reply) {
    const ticket = reply.maintenanceTicket
    ticket?.started()
    try {
      await hook.call(this, request, reply)
    } finally {
      // Not before the hook after this one has begun.
      setImmediate(() => ticket?.settled('replies'))
    }
  }
}

function isFollowed (request: FastifyRequest): boolean {
  return followed in (request.routeOptions.config ?? {})
}

function isPromise (value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | undefined)?.then === 'function'
}
