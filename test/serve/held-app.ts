// An application whose requests take as long as a test wants.

import { EventEmitter, once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { FastifyInstance } from 'fastify'

/** Its path, as the setting APP has it. */
export const path = import.meta.filename

/** Emits `begun` for each request to /held/:name; ends those that are held when `end` is emitted for that name. */
export const held = new EventEmitter()

/** What has happened, in order. */
export const events: string[] = []

/** The servers whose onClose hooks have run. */
export const closed = new Set<unknown>()

export default async function heldApp (app: FastifyInstance): Promise<void> {
  app.get('/', async () => 'hello')
  app.get<{ Params: { name: string } }>('/held/:name', async request => {
    const end = once(held, `end ${request.params.name}`)
    held.emit(`begun ${request.params.name}`)
    await end
    events.push(`over ${request.params.name}`)
    return 'done'
  })
  app.server.on('upgrade', (_request: IncomingMessage, socket: Duplex) => {
    socket.on('error', () => {})
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: example\r\n\r\n')
  })
  app.addHook('onClose', async () => {
    events.push('closed')
    closed.add(app.server)
  })
}
