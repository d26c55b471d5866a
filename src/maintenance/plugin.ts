// The maintenance plugin: an onRequest hook that asks the switch. It admits and counts a request, or refuses it.
// It decides nothing: the mode is set by the switch's operator, or, in an app of one's own, by app.maintenance.

import type { Server } from 'node:http'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import { ServiceError, messageOf } from '../errors.ts'
import { expectation, guardConnections, isCountedUpgrade, type Doorkeeper } from './connections.ts'
import { InFlight, type Entry } from './entries.ts'
import { followApplication } from './following.ts'
import { Ticket, ticketFor } from './in-flight.ts'
import { Refusal, type Notice } from './responses.ts'
import { allocateSwitch, Gate, Switch, type Mode, type SwitchMemory } from './switch.ts'

export interface MaintenanceOptions extends Notice {
  /** The switch to obey and this worker's slot in it. Without it the plugin has a switch of its own. */
  shared?: { memory: SwitchMemory, worker: number }
  /**
   * `server` (the default): every request is under the switch, but those to routes with
   * `config: { maintenance: false }`. `routes`: only requests to routes with `config: { maintenance: true }` are.
   */
  scope?: 'server' | 'routes'
}

/** What the plugin adds to a Fastify instance as `app.maintenance`. */
export interface Maintenance {
  readonly mode: Mode
  /** What is in flight here that `mode` (default: the current one) would refuse. */
  inFlight (mode?: Mode): number
  /**
   * Counts work that is no request (a job, what goes on after a response) as in flight.
   * @returns ends it; calling it again does nothing
   * @throws ServiceError ERR_REFUSED where the mode refuses such work
   */
  begin (name: string): () => void
  /** Replaces what refused requests are told. */
  setNotice (notice: Notice): void
  /**
   * Sets the mode of the plugin's own switch.
   * @throws ServiceError ERR_NOT_OURS where the switch is shared: it has an operator, and only one
   */
  set (mode: Mode): void
  /** Resolves when nothing is in flight that the current mode refuses. */
  drained (): Promise<void>
  /**
   * Runs once nothing is in flight any more and before the service says so: here an application puts away what it
   * holds of the database, idle connections for example.
   */
  onDrained (hook: DrainedHook): void
  /** Runs those hooks. @returns the messages of those that failed */
  runDrainedHooks (): Promise<string[]>
  /** All that is in flight here, the oldest first. */
  readonly entries: Iterable<Entry>
}

export type DrainedHook = () => void | Promise<void>

declare module 'fastify' {
  interface FastifyInstance {
    maintenance: Maintenance
  }
  interface FastifyRequest {
    /** What became of it: its ticket where it was admitted; null where it is not under the switch, or was not asked yet. */
    maintenance: Ticket | 'refused' | null
  }
  interface FastifyContextConfig {
    /** Whether the route is under the switch. Default: see the plugin's `scope`. */
    maintenance?: boolean
  }
}

const doorkeepers = new WeakMap<FastifyInstance['server'], Doorkeeper>()
const DRAIN_POLL_MS = 10
const TICK_MS = 100

async function plugin (app: FastifyInstance, options: MaintenanceOptions): Promise<void> {
  const memory = options.shared?.memory ?? allocateSwitch(1)
  const worker = options.shared?.worker ?? 0
  const gate = new Gate(memory, worker)
  const ownSwitch = new Switch(memory)
  const byDefault = options.scope !== 'routes'
  const inFlight = new InFlight()
  const drainedHooks: DrainedHook[] = []
  let refusal = new Refusal(options)
  const ticking = setInterval(() => inFlight.tick(), TICK_MS).unref()
  app.addHook('onClose', async () => clearInterval(ticking))

  const doorkeeper: Doorkeeper = {
    gate,
    inFlight,
    refusesAll: method => byDefault && !mayBeMarked && !gate.admits(isSafe(method)),
    refuse (request, response) {
      gate.countRefused()
      refusal.send(request, response)
    },
    refuseRaw (request, socket) {
      gate.countRefused()
      refusal.sendRaw(request, socket)
    }
  }

  app.decorateRequest('maintenance', null)
  // Reading a request's route options is dear, and most applications mark none.
  let mayBeMarked = true
  const routes: RouteOptions[] = []
  app.addHook('onRoute', route => { routes.push(route) })
  // Not sooner: other onRoute hooks may mark a route too. Routes that were declared before are seen by no hook.
  const hasRoutes = !app.printRoutes().includes('(empty tree)')
  app.addHook('onReady', async () => {
    mayBeMarked = hasRoutes || routes.some(({ config }) => config?.maintenance !== undefined)
    routes.length = 0
  })
  app.addHook('onRequest', (request, reply, done) => {
    const { raw } = reply
    const isUnderSwitch = mayBeMarked ? isMarked(request) ?? byDefault : byDefault
    if (isUnderSwitch && !isCountedUpgrade(request.raw)) {
      const known = ticketFor(raw)
      const safe = isSafe(request.method)
      if (known === undefined && !gate.admit(safe)) {
        reply.hijack()
        request.maintenance = 'refused'
        doorkeeper.refuse(request.raw, raw)
        return
      }
      request.maintenance = known ?? new Ticket(reply, gate, safe, inFlight)
    }
    const expected = raw[expectation]
    if (expected === 'continue') raw.writeContinue()
    if (expected === 'unknown') reply.code(417).send()
    else done()
  })
  // The hook above is this plugin's own.
  followApplication(app)

  if (byDefault) doorkeepers.set(app.server, doorkeeper)
  guardConnections(app.server as Server, doorkeeper, byDefault)

  app.decorate('maintenance', {
    get mode () {
      return gate.mode
    },
    inFlight: (mode = gate.mode) => ownSwitch.inFlight(mode, worker),
    begin (name) {
      if (!gate.admit(false)) {
        throw new ServiceError('ERR_REFUSED', `"${name}" was not begun: the mode is ${gate.mode}`)
      }
      const entry: Entry = { what: name, startedMs: performance.now(), clientGone: false, cut: () => false }
      inFlight.add(entry)
      let isOver = false
      return () => {
        if (isOver) return
        isOver = true
        inFlight.delete(entry)
        gate.release(false)
      }
    },
    setNotice (notice) {
      refusal = new Refusal(notice)
    },
    set (mode) {
      if (options.shared !== undefined) {
        throw new ServiceError('ERR_NOT_OURS', 'the mode of a shared switch is set by its operator: ' +
          'send SIGUSR1 or SIGUSR2 to the service')
      }
      ownSwitch.mode = mode
    },
    async drained () {
      while (gate.mode !== 'live' && ownSwitch.inFlight(gate.mode, worker) > 0) {
        await new Promise(resolve => setTimeout(resolve, DRAIN_POLL_MS))
      }
    },
    onDrained (hook) {
      drainedHooks.push(hook)
    },
    async runDrainedHooks () {
      // Started inside of a function, so that one that throws at once fails like one that rejects.
      const results = await Promise.allSettled(drainedHooks.map(async hook => { await hook() }))
      return results.flatMap(result => result.status === 'rejected' ? [messageOf(result.reason)] : [])
    },
    entries: inFlight
  } satisfies Maintenance)
}

/**
 * For Fastify's `frameworkErrors` option: Fastify answers malformed and over-long paths before any hook runs; with
 * this they are refused like every other request, and otherwise get the answer that Fastify gives by itself.
 */
export function frameworkErrors (error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const doorkeeper = doorkeepers.get(request.server.server)
  const safe = isSafe(request.method)
  if (doorkeeper !== undefined && !doorkeeper.gate.admit(safe)) {
    reply.hijack()
    request.maintenance = 'refused'
    doorkeeper.refuse(request.raw, reply.raw)
    return
  }
  reply.code(error.statusCode ?? 500).send(error)
  doorkeeper?.gate.release(safe)
}

function isMarked (request: FastifyRequest): boolean | undefined {
  // Without a config it is a 404, which is no route's.
  return request.routeOptions.config?.maintenance
}

// RFC 9110, section 9.2.1.
function isSafe (method: string): boolean {
  return method === 'GET' || method === 'HEAD' || method === 'OPTIONS' || method === 'TRACE'
}

export default fp(plugin, { fastify: '5.x', name: 'maintenance' })
