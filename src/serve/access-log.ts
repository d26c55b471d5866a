// One line for each request that was served, when it is over. Those that were refused are counted instead.

import type { ServerResponse } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { LogController } from 'fastify'
import fp from 'fastify-plugin'

const replyOf = Symbol('reply')

declare module 'node:http' {
  interface ServerResponse {
    [replyOf]?: FastifyReply
  }
}

/** Of what Fastify logs by itself, only why requests failed: of the rest there is one line. */
export class FailureLog extends LogController {
  constructor () {
    super({ disableRequestLogging: true })
  }

  override defaultErrorLog (err: unknown, request: FastifyRequest, reply: FastifyReply): void {
    if (reply.statusCode < 500) return
    request.log.error({ event: 'request-failed', method: request.method, url: request.url, err }, 'request failed')
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
