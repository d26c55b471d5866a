// One line for each request that was served, when it is over. Those that were refused are counted instead.

import type { ServerResponse } from 'node:http'
import type { FastifyInstance, FastifyReply } from 'fastify'
import fp from 'fastify-plugin'

const replyOf = Symbol('reply')

declare module 'node:http' {
  interface ServerResponse {
    [replyOf]?: FastifyReply
  }
}

async function accessLog (app: FastifyInstance): Promise<void> {
  // Not an onResponse hook: a client that hangs up gets no response to finish.
  app.addHook('onRequest', (_request, reply, done) => {
    logWhenOver(reply)
    done()
  })
}

/** For what Fastify answers before any hook runs. */
export function logWhenOver (reply: FastifyReply): void {
  reply.raw[replyOf] = reply
  reply.raw.on('close', logRequest)
}

// One listener for all responses: a closure for each would be felt.
function logRequest (this: ServerResponse): void {
  const reply = this[replyOf]
  if (reply === undefined || reply.request.maintenance === 'refused') return
  const { request } = reply
  const isFinished = this.writableFinished
  request.log.info({
    event: 'request',
    method: request.method,
    url: request.url,
    status: isFinished ? reply.statusCode : undefined,
    ms: Math.round(reply.elapsedTime * 10) / 10,
    ip: request.ip
  }, isFinished ? 'request' : 'request aborted')
}

export default fp(accessLog, { fastify: '5.x', name: 'access-log' })
