import { once } from 'node:events'
import { ServerResponse, type IncomingMessage, type Server } from 'node:http'
import type { Duplex } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { Connection, countAfterAll, openSite, type Site } from '../helpers/http.ts'

// WebSockets as most applications have them: a server of their own beside Fastify's routes.
function withWebSockets (app: FastifyInstance): void {
  const sockets = new WebSocketServer({ server: app.server as Server })
  sockets.on('connection', socket => {
    socket.on('error', () => {})
    socket.on('message', message => socket.send(message))
  })
}

async function openWebSocket (t: Test, site: Site): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${site.port}/`)
  t.teardown(() => socket.terminate())
  await once(socket, 'open')
  return socket
}

t.test('a WebSocket counts until it has closed', async t => {
  const site = await openSite(t, withWebSockets)
  const socket = await openWebSocket(t, site)
  socket.send('hello')
  const [message] = await once(socket, 'message')
  t.equal(String(message), 'hello')
  t.equal(site.inFlight(), 1)
  socket.close()
  await once(socket, 'close')
  t.equal(await countAfterAll(site), 0)
})

t.test('a WebSocket whose client is gone is over', async t => {
  const site = await openSite(t, withWebSockets)
  const socket = await openWebSocket(t, site)
  t.equal(site.inFlight(), 1)
  socket.terminate()
  t.equal(await countAfterAll(site), 0)
})

t.test('a WebSocket that the application declines leaves no count', async t => {
  const site = await openSite(t, app => {
    // eslint-disable-next-line no-new
    new WebSocketServer({ server: app.server as Server, path: '/elsewhere' })
  })
  const socket = new WebSocket(`ws://127.0.0.1:${site.port}/`)
  const [error] = await once(socket, 'error')
  t.match(error.message, '400')
  t.equal(await countAfterAll(site), 0)
})

t.test('a WebSocket is refused in maintenance with an answer that its client can read', async t => {
  const site = await openSite(t, withWebSockets)
  site.app.maintenance.set('maintenance')
  const socket = new WebSocket(`ws://127.0.0.1:${site.port}/`)
  const [, response] = await once(socket, 'unexpected-response')
  t.equal(response.statusCode, 503)
  t.equal(response.headers['retry-after'], '120')
  response.resume()
  await once(response, 'end')
})

// What @fastify/websocket does: the raw request of an upgrade goes through Fastify's routing, hooks included, and its
// handler takes over the connection.
function routingWebSockets (app: FastifyInstance): void {
  const sockets = new WebSocketServer({ noServer: true })
  app.server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const response = new ServerResponse(request)
    socket.on('error', () => {})
    response.assignSocket(socket as never)
    Object.assign(request, { upgraded: { socket, head } })
    app.routing(request, response)
  })
  app.get('/', async (request, reply) => {
    const { socket, head } = (request.raw as IncomingMessage & { upgraded: { socket: Duplex, head: Buffer } }).upgraded
    reply.hijack()
    socket.removeAllListeners('error')
    sockets.handleUpgrade(request.raw, socket, head, webSocket => {
      webSocket.on('error', () => {})
      webSocket.on('message', message => webSocket.send(message))
    })
  })
}

t.test('a WebSocket that is routed through Fastify counts once, until it has closed', async t => {
  const site = await openSite(t, routingWebSockets)
  const socket = await openWebSocket(t, site)
  socket.send('hello')
  await once(socket, 'message')
  t.equal(site.inFlight(), 1)
  socket.close()
  await once(socket, 'close')
  t.equal(await countAfterAll(site), 0)
})

t.test('a WebSocket that is routed through Fastify to nowhere is answered and leaves no count', async t => {
  const site = await openSite(t, routingWebSockets)
  const client = await Connection.open(t, site.port)
  client.ask('GET /missing', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==')
  await client.receive('404 Not Found')
  client.hangUp()
  t.equal(await countAfterAll(site), 0)
})

t.test('a WebSocket that is routed through Fastify is refused in maintenance', async t => {
  const site = await openSite(t, routingWebSockets)
  site.app.maintenance.set('maintenance')
  const socket = new WebSocket(`ws://127.0.0.1:${site.port}/`)
  const [, response] = await once(socket, 'unexpected-response')
  t.equal(response.statusCode, 503)
  response.resume()
  t.equal(await countAfterAll(site), 0)
})

t.test('with the scope "routes", a WebSocket that is routed through Fastify goes by its route', async t => {
  const site = await openSite(t, app => {
    app.addHook('onRoute', route => { route.config = { ...route.config, maintenance: true } })
    routingWebSockets(app)
  }, { maintenance: { scope: 'routes' } })
  const socket = await openWebSocket(t, site)
  t.equal(site.inFlight(), 1)
  socket.terminate()
  t.equal(await countAfterAll(site), 0)
  site.app.maintenance.set('maintenance')
  const refused = new WebSocket(`ws://127.0.0.1:${site.port}/`)
  const [, response] = await once(refused, 'unexpected-response')
  t.equal(response.statusCode, 503)
})
