// One line for each request that was served, when it is over. Those that were refused are counted instead.

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'

async function accessLog (app: FastifyInstance): Promise<void> {
  app.addHook('onResponse', (request, reply, done) => {
    if (!reply.maintenanceRefused) request.log.info(entry(request, reply), 'request')
    done()
  })
  // A client that hangs up gets no response to finish, and no onResponse.
  app.addHook('onRequestAbort', (request, done) => {
    request.log.info(entry(request), 'request aborted')
    done()
  })
}

function entry (request: FastifyRequest, reply?: FastifyReply): Record<string, unknown> {
  return {
    event: 'request',
    method: request.method,
    url: request.url,
    status: reply?.statusCode,
    ms: reply === undefined ? undefined : Math.round(reply.elapsedTime * 10) / 10,
    ip: request.ip
  }
}

export default fp(accessLog, { fastify: '5.x', name: 'access-log' })
