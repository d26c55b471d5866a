// A site behind the maintenance plugin on a real socket, and clients that see every byte and every reset.

import { once } from 'node:events'
import { Agent, request, type IncomingHttpHeaders, type RequestOptions } from 'node:http'
import { connect, type AddressInfo, type Server, type Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import maintenance, { frameworkErrors, type MaintenanceOptions } from '../../src/maintenance/plugin.ts'

/** What of a test these helpers need. */
export interface Scope {
  teardown (end: () => unknown): void
}

export interface Site {
  app: FastifyInstance
  port: number
  /** What is in flight, whatever the mode. */
  inFlight (): number
}

export interface SiteOptions {
  fastify?: FastifyServerOptions
  maintenance?: Partial<MaintenanceOptions>
}

export const page = Buffer.from('<!doctype html><title>Maintenance</title><p>Back soon.')
export const notice = { page, retryAfterSeconds: 120 }

/** An app with the plugin and what `define` adds. It is closed with the test, whatever is still open. */
export async function openApp (
  t: Scope, define: (app: FastifyInstance) => unknown = () => {}, options: SiteOptions = {}
): Promise<FastifyInstance> {
  const app = Fastify({ frameworkErrors, forceCloseConnections: true, ...options.fastify } as FastifyServerOptions)
  t.teardown(() => app.close())
  await app.register(maintenance, { ...notice, ...options.maintenance })
  await define(app)
  await app.ready()
  return app
}

/** The same, listening. */
export async function openSite (
  t: Scope, define?: (app: FastifyInstance) => unknown, options?: SiteOptions
): Promise<Site> {
  const app = await openApp(t, define, options)
  const port = await listen(t, app.server as Server)
  return { app, port, inFlight: () => app.maintenance.inFlight('live') }
}

/** Listens on a free port of loopback. Every connection that is left is cut with the test. */
export async function listen (t: Scope, server: Server): Promise<number> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** Lets the event loop turn until something holds. The test's own timeout ends a wait for what never comes. */
export async function until (holds: () => boolean): Promise<void> {
  while (!holds()) await turn()
}

/** Lets the event loop turn a few times: for what must not happen meanwhile. */
export async function turns (count = 5): Promise<void> {
  for (let i = 0; i < count; i++) await turn()
}

/** Waits until nothing is in flight. @returns the count after some more turns, in which a second release would show */
export async function countAfterAll (site: Pick<Site, 'inFlight'>): Promise<number> {
  await until(() => site.inFlight() <= 0)
  await turns(10)
  return site.inFlight()
}

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  body: string
}

/** One request, on a connection of its own unless an agent is given. @throws Error when the connection breaks */
export async function ask (port: number, path: string, options: RequestOptions = {}): Promise<Answer> {
  const call = request({ host: '127.0.0.1', port, path, agent: false, ...options })
  call.end()
  const [response] = await once(call, 'response')
  const chunks: Buffer[] = await response.toArray()
  return { status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks).toString() }
}

/** An agent that keeps one connection open. It is closed with the test. */
export function oneConnection (t: Scope): Agent {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  return agent
}

/** A connection on which every byte is one's own. */
export class Connection {
  readonly socket: Socket
  /** All that has come in. */
  received = ''
  /** Resolves when the server has closed; rejects with what broke the connection. */
  readonly closed: Promise<void>

  private constructor (socket: Socket) {
    this.socket = socket
    socket.setEncoding('latin1').on('data', (text: string) => { this.received += text })
    this.closed = new Promise((resolve, reject) => {
      socket.once('error', reject)
      socket.once('close', resolve)
    })
    this.closed.catch(() => {})
  }

  static async open (t: Scope, port: number): Promise<Connection> {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    t.teardown(() => socket.destroy())
    await once(socket, 'connect')
    return new Connection(socket)
  }

  /** Sends a request's head, line by line, with a Host header. */
  ask (requestLine: string, ...headers: string[]): void {
    this.send([`${requestLine} HTTP/1.1`, 'Host: example.org', ...headers, '', ''].join('\r\n'))
  }

  send (text: string | Uint8Array): void {
    this.socket.write(text)
  }

  /** Waits for a text to come in. @throws Error when the connection ends without it */
  async receive (expected: string | RegExp): Promise<void> {
    const has = (): boolean => typeof expected === 'string' ? this.received.includes(expected) : expected.test(this.received)
    let ended = false
    this.closed.then(() => { ended = true }, () => { ended = true })
    this.socket.once('end', () => { ended = true })
    await until(() => has() || ended)
    if (!has()) throw new Error(`the connection ended without ${expected} after:\n${this.received}`)
  }

  /** Waits for the server to end its direction, and ends this one too. */
  async end (): Promise<void> {
    if (!this.socket.readableEnded) await once(this.socket, 'end')
    this.socket.end()
    await this.closed
  }

  /** Hangs up without a word of farewell. */
  hangUp (): void {
    this.socket.resetAndDestroy()
  }
}

/** The statuses of all answers in a stretch of text. */
export function statuses (received: string): number[] {
  return [...received.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status))
}
