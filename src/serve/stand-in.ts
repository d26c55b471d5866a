// The stand-in: a bare server that refuses everything. While maintenance is on it serves the page for workers whose
// application does not run, so it has nothing in common with an application.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { Refusal, type Notice } from '../maintenance/responses.ts'
import type { Gate } from '../maintenance/switch.ts'
import { trackConnections, type Served } from './served.ts'

export function openStandIn (gate: Gate, notice: Notice): Served {
  let refusal = new Refusal(notice)
  const refuse = (request: IncomingMessage, response: ServerResponse): void => {
    gate.countRefused()
    refusal.send(request, response)
  }
  const server = createServer(refuse)
  server.on('checkContinue', refuse)
  server.on('checkExpectation', refuse)
  // An upgrade that nobody listens for is a request like any other; a CONNECT would be closed without an answer.
  server.on('connect', (request: IncomingMessage, socket: Socket) => {
    gate.countRefused()
    refusal.sendRaw(request, socket)
  })
  return {
    server,
    connections: trackConnections(server),
    setNotice (notice) {
      refusal = new Refusal(notice)
    },
    inFlight: [],
    drained: async () => [],
    end: async () => {}
  }
}
