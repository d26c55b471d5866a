// Tells when an admitted request is over: its response has finished or its connection has closed, and its handler
// has settled. A client that hangs up does not make a running database write go away.

import type { FastifyReply, FastifyRequest, RouteHandlerMethod, RouteOptions } from 'fastify'

const counted = Symbol('counted handler')
type Handler = RouteHandlerMethod & { [counted]?: true }

/** Something in flight. */
export interface Entry {
  /** `GET /orders/:id`, `UPGRADE /chat`, or the name of work that the application began. */
  readonly what: string
  /** On the clock of performance.now(). */
  readonly startedMs: number
  readonly clientGone: boolean
  /** Closes its connection. @returns whether there was one */
  cut (): boolean
}

/** All that a worker has in flight, the oldest first. */
export type InFlight = Set<Entry>

/** One admitted request. */
export class Ticket implements Entry {
  readonly startedMs = performance.now()
  readonly #reply: FastifyReply
  readonly #release: () => void
  #running = false
  #closed = false
  #over = false

  /** @param release called once, when the request is over */
  constructor (reply: FastifyReply, release: () => void) {
    this.#reply = reply
    this.#release = release
    reply.raw.on('close', () => this.#close())
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
    this.#running = true
  }

  settled (): void {
    this.#running = false
    if (this.#closed) this.#end()
  }

  #close (): void {
    this.#closed = true
    if (this.#running) return
    // Nothing was sent and no promise is pending: an aborted request whose hooks, or whose handler in callback
    // style, go on. A handler that this module has not wrapped cannot be followed.
    if (this.#reply.sent || !isCounted(this.#reply.request)) this.#end()
    else this.#endWhenSent()
  }

  // Set on the one reply that was aborted, so that requests which are not do not pay for it.
  #endWhenSent (): void {
    const reply = this.#reply
    const send = reply.send
    reply.send = (payload?: unknown) => {
      send.call(reply, payload)
      if (!this.#running) this.#end()
      return reply
    }
  }

  #end (): void {
    if (this.#over) return
    this.#over = true
    this.#release()
  }
}

/** Wraps a route's handler, as an `onRoute` hook, so that its ticket is told when it starts and settles. */
export function followHandler (route: RouteOptions): void {
  const handler = route.handler as Handler
  // Fastify declares a HEAD route of its own with the handler of the GET route.
  if (handler[counted] === true) return
  const follow: Handler = function (request, reply) {
    const ticket = reply.maintenanceTicket
    if (ticket === null) return handler.call(this, request, reply)
    ticket.started()
    let result: unknown
    try {
      result = handler.call(this, request, reply)
    } catch (error) {
      ticket.settled()
      throw error
    }
    // A reply is a thenable too, and returning it means: it will be sent from a callback.
    if (result !== reply && isPromise(result)) result.then(() => ticket.settled(), () => ticket.settled())
    else ticket.settled()
    return result
  }
  follow[counted] = true
  route.handler = follow
}

function isCounted (request: FastifyRequest): boolean {
  return (request.routeOptions.handler as Handler | undefined)?.[counted] === true
}

function isPromise (value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | undefined)?.then === 'function'
}
