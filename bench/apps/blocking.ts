// An application whose handler blocks its event loop, as a long computation or synchronous I/O would.

import type { FastifyInstance } from 'fastify'

/** Longer than a switch takes, and far shorter than what makes a worker count as stuck. */
const BLOCK_MS = 100

export default async function blocking (app: FastifyInstance): Promise<void> {
  const never = new Int32Array(new SharedArrayBuffer(4))
  app.get('/', async () => ({ hello: 'world' }))
  // What it writes first is on its way before it blocks: whoever reads that knows that the worker is blocked.
  app.get('/block', (_request, reply) => {
    reply.hijack()
    reply.raw.writeHead(200, { Connection: 'close' })
    reply.raw.write('blocking', () => {
      Atomics.wait(never, 0, 0, BLOCK_MS)
      reply.raw.end()
    })
  })
}
