// One listening socket on loopback, of which every server gets a descriptor of its own, as workers do.

import { closeSync } from 'node:fs'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { duplicate } from '../../src/platform/libc.ts'
import type { Scope } from './http.ts'

export interface SharedSocket {
  port: number
  /** @returns a descriptor that its server closes */
  duplicate (): number
}

export async function shareSocket (t: Scope): Promise<SharedSocket> {
  const server = createServer()
  server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 })
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  // The way to the descriptor that src/control/listener.ts takes.
  const fd = duplicate((server as unknown as { _handle: { fd: number } })._handle.fd)
  // The socket goes on listening, but not this server, which would take connections that it does not answer.
  server.close()
  t.teardown(() => closeSync(fd))
  return { port, duplicate: () => duplicate(fd) }
}
