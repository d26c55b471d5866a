// The control socket: the operator's intents over HTTP on a Unix socket, with an answer. Who may connect is a matter
// of the socket file's owner and group; who did is read from the kernel.

import type { Server, Socket } from 'node:net'
import Fastify, { type FastifyBaseLogger, type FastifyRequest } from 'fastify'
import { removeStaleSocket } from './listener.ts'
import { STOPPING, parseEnter, parseLeave, paths, type Entered, type EnterRequest, type EventLine, type LeaveRequest, type Outcome, type Status } from './protocol.ts'
import { ServiceError, messageOf } from '../errors.ts'
import { noSchemas } from '../no-schemas.ts'

export interface ControlPorts {
  status (): Promise<Status>
  enter (request: EnterRequest, by: string): Outcome
  /** @returns why maintenance stays on although leaving was asked for, or undefined */
  leave (request: LeaveRequest, by: string): Promise<string | undefined>
  /** Closes the connections of what is in flight. @returns how many; undefined: not in maintenance */
  cut (by: string): Promise<number | undefined>
  /** Calls back with how things stand, on every event and on every change, until the returned function is called. */
  follow (listener: (line: EventLine) => void): () => void
  metrics (): Promise<{ type: string, text: string }>
  /** Who is at the other end of a connected Unix socket. */
  caller (fd: number): string
  logger: FastifyBaseLogger
}

export interface ControlSocket {
  readonly path: string
  close (): Promise<void>
}

// Owner and group; the directory and the umask see to the rest.
const OTHERS_MAY_NOTHING = 0o117

/**
 * Opens the control socket; a stale one is replaced, a live one never.
 * @param umask sets the process's umask and returns the one before
 * @throws ServiceError ERR_LISTEN
 */
export async function openControlSocket (path: string, ports: ControlPorts, umask: (mask: number) => number): Promise<ControlSocket> {
  const app = Fastify({ loggerInstance: ports.logger, bodyLimit: 16 * 1024, ...noSchemas })

  app.setErrorHandler((error, _request, reply) => {
    const status = (error as { statusCode?: number }).statusCode ?? 500
    reply.code(status).send({ error: messageOf(error) })
  })
  app.setNotFoundHandler((request, reply) => {
    reply.code(404).send({ error: `${request.method} ${request.url}: unknown; this server speaks version 1` })
  })

  app.get(paths.status, async () => await ports.status())
  app.put(paths.maintenance, async (request, reply) => {
    let wanted
    try {
      wanted = parseEnter(request.body, new Date())
    } catch (error) {
      return reply.code(400).send({ error: messageOf(error) })
    }
    const outcome = ports.enter(wanted, callerOf(request))
    return { outcome, ...await ports.status() } satisfies Entered
  })
  app.delete(paths.maintenance, async (request, reply) => {
    let wanted
    try {
      wanted = parseLeave(request.query)
    } catch (error) {
      return reply.code(400).send({ error: messageOf(error) })
    }
    const refused = await ports.leave(wanted, callerOf(request))
    if (refused !== undefined) return reply.code(refused === STOPPING ? 503 : 409).send({ error: refused })
    return await ports.status()
  })
  app.delete(paths.connections, async (request, reply) => {
    const cut = await ports.cut(callerOf(request))
    if (cut === undefined) return reply.code(409).send({ error: 'not in maintenance: connections are cut in maintenance only' })
    return { cut }
  })
  app.get(paths.events, (_request, reply) => {
    reply.hijack()
    reply.raw.writeHead(200, { 'Content-Type': 'application/x-ndjson', 'Cache-Control': 'no-store' })
    // A follower that does not read (Ctrl-Z) must not fill the memory: it begins anew when it reads again.
    let missed = false
    const write = (line: EventLine): void => {
      missed = reply.raw.writableNeedDrain
      if (!missed) reply.raw.write(JSON.stringify(line) + '\n')
    }
    let stop = ports.follow(write)
    reply.raw.on('drain', () => {
      if (!missed) return
      missed = false
      stop()
      stop = ports.follow(write)
    })
    reply.raw.once('close', () => stop())
  })
  app.get(paths.metrics, async (_request, reply) => {
    const { type, text } = await ports.metrics()
    return reply.header('Content-Type', type).send(text)
  })

  await app.ready()
  await removeStaleSocket(path)
  await new Promise<void>((resolve, reject) => {
    app.server.once('error', error => reject(new ServiceError('ERR_LISTEN', `cannot listen on ${path}: ${messageOf(error)}`, error)))
    // bind() happens within listen(), so the mask covers the moment in which the file appears, and nothing else.
    const before = umask(OTHERS_MAY_NOTHING)
    try {
      app.server.listen({ path }, resolve)
    } finally {
      umask(before)
    }
  })
  return {
    path,
    async close () {
      // Fastify closes only what its own listen() has opened.
      const closed = new Promise(resolve => app.server.close(resolve))
      app.server.closeAllConnections()
      await closed
      await app.close()
    }
  }

  function callerOf (request: FastifyRequest): string {
    return ports.caller(descriptorOf(request.raw.socket))
  }
}

function descriptorOf (socket: Socket | Server): number {
  // A client that has gone already has none.
  return (socket as unknown as { _handle: { fd: number } | null })._handle?.fd ?? -1
}
