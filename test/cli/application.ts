// The application among the fixtures, with more that can be in flight, and hooks for when nothing is.

import type { FastifyInstance } from 'fastify'
import application from '../fixtures/application.ts'
import { gateOpened, say } from '../fixtures/say.ts'

export default async function streaming (app: FastifyInstance): Promise<void> {
  await application(app)

  // Server-sent events, until the gate is open.
  app.get('/stream/:topic', (_request, reply) => {
    reply.hijack()
    reply.raw.writeHead(200, { 'Content-Type': 'text/event-stream' })
    reply.raw.write('data: hello\n\n')
    gateOpened().then(() => reply.raw.end())
  })

  app.get('/job', async () => {
    const end = app.maintenance.begin('nightly report')
    gateOpened().then(end)
    return 'begun'
  })

  for (const hook of (process.env.HOOKS ?? '').split(',')) {
    app.maintenance.onDrained(async () => {
      say(`hook-${hook}`)
      if (hook === 'fail') throw new Error('the pool did not close')
      if (hook === 'gate') await gateOpened()
      if (hook === 'hang') await new Promise(() => {})
    })
  }
}
