// A handler or hook that a test holds: it says when it has begun and ends when the test lets it.

import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Connection, type Scope, type Site } from './http.ts'

export interface Held {
  begun: PromiseWithResolvers<{ request: FastifyRequest, reply: FastifyReply }>
  end: PromiseWithResolvers<void>
}

export function hold (): Held {
  return { begun: Promise.withResolvers(), end: Promise.withResolvers() }
}

/** Sends a request and hangs up as soon as it has begun. Resolves when the server knows. */
export async function askAndHangUp (t: Scope, site: Site, { begun }: Held, method = 'GET'): Promise<void> {
  const client = await Connection.open(t, site.port)
  client.ask(`${method} /`)
  const { reply } = await begun.promise
  const closed = once(reply.raw, 'close')
  client.hangUp()
  await closed
  await turn()
}
