// The load client counts every way in which a request can end.

import t from 'tap'
import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createNetServer, type AddressInfo } from 'node:net'
import { start } from './load.ts'

async function serve (listener: RequestListener): Promise<{ server: Server, port: number }> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.closeAllConnections(); server.close() })
  return { server, port: (server.address() as AddressInfo).port }
}

t.test('opens a connection for each request', async t => {
  const { server, port } = await serve((request, response) => { response.end('hello') })
  let connections = 0
  server.on('connection', () => { connections++ })
  const report = await ended(start({ port, maxRequests: 50 }))
  t.match(report, { sent: 50, statuses: { 200: 50 }, refused: 0, reset: 0, cutOff: 0, retried: 0, errors: {} })
  t.equal(connections, 50)
})

t.test('keeps connections when asked to', async t => {
  const { server, port } = await serve((request, response) => { response.end('hello') })
  let connections = 0
  server.on('connection', () => { connections++ })
  const report = await ended(start({ port, maxRequests: 50, concurrency: 2, keepAlive: true }))
  t.match(report.statuses, { 200: 50 })
  t.equal(connections, 2)
})

t.test('counts answers by status, and waits for them', async t => {
  let status = 200
  const { port } = await serve((request, response) => { response.writeHead(status).end() })
  const load = start({ port })
  await load.answered(20)
  status = 503
  await load.answered(20, 503)
  const { statuses } = await load.stop()
  t.ok((statuses[200] ?? 0) >= 20 && (statuses[503] ?? 0) >= 20)
})

t.test('counts refused connections', async t => {
  const { server, port } = await serve(() => {})
  server.close()
  await once(server, 'close')
  t.match(await ended(start({ port, maxRequests: 10 })), { sent: 10, refused: 10 })
})

t.test('counts connections that are reset', async t => {
  const server = createNetServer(socket => { socket.on('error', () => {}).once('data', () => socket.resetAndDestroy()) })
  t.teardown(() => { server.close() })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  t.match(await ended(start({ port, maxRequests: 10 })), { sent: 10, reset: 10, retried: 0 })
})

t.test('counts answers that are cut off', async t => {
  const { port } = await serve((request, response) => {
    response.writeHead(200, { 'content-length': 10 })
    response.write('five!', () => request.socket.destroy())
  })
  t.match(await ended(start({ port, maxRequests: 10 })), { sent: 10, cutOff: 10, reset: 0 })
})

t.test('tries again when a kept connection closes under it', async t => {
  const seen = new Set<object>()
  const { port } = await serve((request, response) => {
    if (seen.has(request.socket)) return request.socket.destroy()
    seen.add(request.socket)
    return response.end('hello')
  })
  const report = await ended(start({ port, maxRequests: 5, concurrency: 1, keepAlive: true }))
  t.match(report, { sent: 5, statuses: { 200: 5 }, retried: 4, reset: 0 })
})

t.test('tells who waits for an answer that the load is over', async t => {
  const { port } = await serve((request, response) => { response.end() })
  await t.rejects(start({ port, maxRequests: 5 }).answered(6), /the load ended too early/)
})

/** Stops a load that is bounded by its number of requests only when it has sent them all. */
async function ended (load: ReturnType<typeof start>): Promise<Awaited<ReturnType<typeof load.stop>>> {
  await load.answered(Infinity).catch(() => {})
  return await load.stop()
}
