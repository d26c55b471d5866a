// Follows what an application runs for a request: its ticket is told what begins, what has settled, and who replies.

import type { FastifyContextConfig, FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import { followed, Ticket } from './in-flight.ts'

type Call = (this: unknown, ...args: unknown[]) => unknown
type Hooked = Partial<Record<HookName, unknown>>
type HookName = typeof BEFORE_REPLY[number] | typeof SINCE_REPLY[number]

// Whoever calls back here, or replies instead, is waited for in any case: nobody has replied yet.
const BEFORE_REPLY = ['onRequest', 'preParsing', 'preValidation', 'preHandler'] as const
const SINCE_REPLY = ['preSerialization', 'onSend', 'onError', 'onResponse', 'onTimeout', 'onRequestAbort'] as const
const HOOKS = [...BEFORE_REPLY, ...SINCE_REPLY]

/** Follows the hooks, handlers and replies of all that is declared from now on, nested apps included. */
export function followApplication (app: FastifyInstance): void {
  app.addHook('onRoute', followRoute)
  const { addHook, setErrorHandler, setNotFoundHandler } = app
  app.addHook = function (this: FastifyInstance, name: string, hook: unknown) {
    return Reflect.apply(addHook, this, [name, followHook(name, hook)])
  } as typeof addHook
  app.setErrorHandler = function (this: FastifyInstance, handler: unknown) {
    return Reflect.apply(setErrorHandler, this, [typeof handler === 'function' ? followErrorHandler(handler as Call) : handler])
  } as typeof setErrorHandler
  // It is no route, so no onRoute hook hears of it.
  app.setNotFoundHandler = function (this: FastifyInstance, first: unknown, second?: unknown) {
    const [options, handler] = (typeof first === 'function' ? [{}, first] : [first ?? {}, second]) as [Partial<RouteOptions>, Call]
    if (typeof handler !== 'function') return Reflect.apply(setNotFoundHandler, this, [options, handler])
    const marked = { ...options, config: mark(options.config) }
    followHooks(marked)
    return Reflect.apply(setNotFoundHandler, this, [marked, followHandler(handler)])
  } as typeof setNotFoundHandler
  followReplies(app)
}

// Not an onSend hook: it would cost each request more, and a reply that is hijacked or waited for is not sent.
function followReplies (app: FastifyInstance): void {
  decorate('send', ticket => ticket.replied())
  decorate('hijack', ticket => ticket.replied())
  decorate('then', ticket => ticket.awaited())

  function decorate (name: 'send' | 'hijack' | 'then', tell: (ticket: Ticket) => void): void {
    let inherited: Call | undefined
    const method: Call = function (this: FastifyReply, ...args) {
      const { maintenance } = this.request
      if (maintenance instanceof Ticket) tell(maintenance)
      inherited ??= methodBelow(this, name, method)
      return inherited.apply(this, args)
    } as Call
    app.decorateReply(name as string, method)
  }
}

/** What a method that hides another hides. What hides it in turn may be an application's own. */
function methodBelow (reply: object, name: string, method: Call): Call {
  let prototype = reply as Record<string, Call>
  while (!Object.hasOwn(prototype, name) || prototype[name] !== method) prototype = Object.getPrototypeOf(prototype)
  return Object.getPrototypeOf(prototype)[name]
}

function followRoute (route: RouteOptions): void {
  route.config = mark(route.config)
  route.handler = followHandler(route.handler as Call) as RouteOptions['handler']
  if (route.errorHandler !== undefined) {
    route.errorHandler = followErrorHandler(route.errorHandler as Call) as NonNullable<RouteOptions['errorHandler']>
  }
  followHooks(route)
}

function followHooks (options: Hooked): void {
  for (const name of HOOKS) {
    const hooks = options[name]
    if (hooks !== undefined) options[name] = [hooks].flat().map(hook => followHook(name, hook))
  }
}

function mark (config: FastifyContextConfig | undefined): FastifyContextConfig {
  return { ...config, [followed]: true } as FastifyContextConfig
}

function followHandler (handler: Call): Call {
  return function (request, reply) {
    const { maintenance } = request as FastifyRequest
    if (!(maintenance instanceof Ticket)) return handler.call(this, request, reply)
    maintenance.handling()
    return followResult(handler.call(this, request, reply), reply, maintenance)
  }
}

function followErrorHandler (handler: Call): Call {
  return function (error, request, reply) {
    const { maintenance } = request as FastifyRequest
    if (!(maintenance instanceof Ticket)) return handler.call(this, error, request, reply)
    maintenance.handling()
    return followResult(handler.call(this, error, request, reply), reply, maintenance)
  }
}

function followResult (result: unknown, reply: unknown, ticket: Ticket): unknown {
  // Returning the reply means that it will be sent from a callback.
  if (!isPromise(result) || result === reply) return result
  ticket.started()
  return settling(result, value => ticket.handled(value))
}

function followHook (name: string, hook: unknown): unknown {
  // Fastify says what is wrong with it.
  if (typeof hook !== 'function' || isUnfit(name, hook)) return hook
  if (BEFORE_REPLY.includes(name as typeof BEFORE_REPLY[number])) return followPromise(hook as Call)
  if (SINCE_REPLY.includes(name as typeof SINCE_REPLY[number])) return followToTheEnd(hook as Call)
  return hook
}

function followPromise (hook: Call): Call {
  return function (...args) {
    const result = hook.apply(this, args)
    const { maintenance } = args[0] as FastifyRequest
    if (!isPromise(result) || !(maintenance instanceof Ticket)) return result
    maintenance.started()
    return settling(result, () => maintenance.settled())
  }
}

// These may go on when the response is over: they write to the database still.
function followToTheEnd (hook: Call): Call {
  return function (...args) {
    const done = args.at(-1) as Call
    const { maintenance } = args[0] as FastifyRequest
    // What was refused has nothing that the application could do.
    if (maintenance === 'refused') return done()
    if (!(maintenance instanceof Ticket)) return hook.apply(this, args)
    maintenance.started()
    let isSettled = false
    const settle = (): void => {
      if (!isSettled) maintenance.settled()
      isSettled = true
    }
    const doneAndSettle = (...results: unknown[]): void => {
      try {
        done(...results)
      } finally {
        settle()
      }
    }
    let result
    try {
      result = hook.apply(this, args.with(-1, doneAndSettle))
    } catch (error) {
      settle()
      throw error
    }
    if (isPromise(result)) return settling(result, settle)
    // It takes no callback, so it has none to call.
    if (hook.length < args.length) settle()
    return result
  }
}

/** @returns the promise to go on with: what a query builder returns begins its query each time that it is asked */
function settling (result: PromiseLike<unknown>, settle: (valueOrError: unknown) => void): Promise<unknown> {
  const promise = Promise.resolve(result)
  promise.then(settle, settle)
  return promise
}

function isPromise (value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | undefined | null)?.then === 'function'
}

// Async functions that call back too.
function isUnfit (name: string, { constructor, length }: Function): boolean {
  if (constructor.name !== 'AsyncFunction') return false
  if (name === 'onRequestAbort') return length !== 1
  return length === (['preParsing', 'preSerialization', 'onSend', 'onError'].includes(name) ? 4 : 3)
}
