// Follows what an application runs for a request: its ticket is told when a handler starts and when it has settled.

import type { FastifyContextConfig, FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { followed } from './in-flight.ts'

type ResponseHook = (this: FastifyInstance, request: FastifyRequest, reply: FastifyReply, done?: (error?: Error) => void) => unknown
// The reply is the last argument of both kinds: (request, reply) and (error, request, reply).
type Handler = (this: FastifyInstance, ...args: unknown[]) => unknown

/** Follows the handlers and onResponse hooks of all routes that are declared from now on, nested apps included. */
export function followHandlers (app: FastifyInstance): void {
  app.addHook('onRoute', followRoute)
  const { addHook, setErrorHandler, setNotFoundHandler } = app
  app.addHook = function (this: FastifyInstance, name: string, hook: ResponseHook) {
    return Reflect.apply(addHook, this, [name, name === 'onResponse' && typeof hook === 'function' ? followResponseHook(hook) : hook])
  } as typeof addHook
  app.setErrorHandler = function (this: FastifyInstance, handler: Handler) {
    return Reflect.apply(setErrorHandler, this, [typeof handler === 'function' ? follow(handler) : handler])
  } as typeof setErrorHandler
  // It is no route, so no onRoute hook hears of it.
  app.setNotFoundHandler = function (this: FastifyInstance, first: unknown, second?: unknown) {
    const [options, handler] = (typeof first === 'function' ? [{}, first] : [first ?? {}, second]) as [Partial<RouteOptions>, Handler]
    if (typeof handler !== 'function') return Reflect.apply(setNotFoundHandler, this, [options, handler])
    return Reflect.apply(setNotFoundHandler, this, [{ ...options, config: mark(options.config) }, follow(handler)])
  } as typeof setNotFoundHandler
}

function followRoute (route: RouteOptions): void {
  route.config = mark(route.config)
  route.handler = follow(route.handler as Handler) as RouteOptions['handler']
  if (route.errorHandler !== undefined) route.errorHandler = follow(route.errorHandler as Handler) as NonNullable<RouteOptions['errorHandler']>
  if (route.onResponse !== undefined) {
    route.onResponse = [route.onResponse].flat().map(hook => followResponseHook(hook as ResponseHook)) as NonNullable<RouteOptions['onResponse']>
  }
}

function mark (config: FastifyContextConfig | undefined): FastifyContextConfig {
  return { ...config, [followed]: true } as FastifyContextConfig
}

function follow (handler: Handler): Handler {
  return function (...args) {
    const reply = args.at(-1) as FastifyReply
    const ticket = reply.maintenanceTicket
    if (ticket === null) return handler.apply(this, args)
    ticket.started()
    let result: unknown
    try {
      result = handler.apply(this, args)
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

// It runs when the response is finished, and may write to the database still.
function followResponseHook (hook: ResponseHook): ResponseHook {
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

function isPromise (value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | undefined)?.then === 'function'
}
