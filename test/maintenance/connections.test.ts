import { once } from 'node:events'
import type { IncomingMessage, Server } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import type { Duplex } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { upgradedSockets } from '../../src/maintenance/connections.ts'
import maintenance from '../../src/maintenance/plugin.ts'
import { ask, Connection, countAfterAll, listen, notice, openSite, page, statuses, turns, until, type Site } from '../helpers/http.ts'

const echo = (app: FastifyInstance): unknown => app.post('/', async request => request.body)
const UPGRADE = ['Connection: Upgrade', 'Upgrade: example']

t.test('a client that awaits 100 Continue is refused before it sends its body', async t => {
  const site = await openSite(t, echo)
  site.app.maintenance.set('maintenance')
  const client = await Connection.open(t, site.port)
  client.ask('POST /', 'Content-Type: text/plain', 'Content-Length: 1000000', 'Expect: 100-continue')
  await client.receive(page.toString())
  t.same(statuses(client.received), [503])
  t.equal(site.inFlight(), 0)
})

t.test('a client that awaits 100 Continue gets it once it is admitted', async t => {
  const site = await openSite(t, echo)
  const client = await Connection.open(t, site.port)
  client.ask('POST /', 'Content-Type: text/plain', 'Content-Length: 4', 'Expect: 100-continue')
  await client.receive('100 Continue\r\n\r\n')
  t.equal(site.inFlight(), 1)
  client.send('body')
  await client.receive(/body$/)
  t.same(statuses(client.received), [100, 200])
  t.equal(await countAfterAll(site), 0)
})

t.test('read-only refuses an upload that awaits 100 Continue', async t => {
  const site = await openSite(t, echo)
  site.app.maintenance.set('read-only')
  const client = await Connection.open(t, site.port)
  client.ask('POST /', 'Content-Type: text/plain', 'Content-Length: 4', 'Expect: 100-continue')
  await client.receive(page.toString())
  t.same(statuses(client.received), [503])
})

t.test('a client that awaits 100 Continue for a route that is not under the switch gets it in maintenance', async t => {
  const site = await openSite(t, app => app.post('/hook', { config: { maintenance: false } }, async request => request.body))
  site.app.maintenance.set('maintenance')
  const client = await Connection.open(t, site.port)
  client.ask('POST /hook', 'Content-Type: text/plain', 'Content-Length: 4', 'Expect: 100-continue')
  await client.receive('100 Continue\r\n\r\n')
  client.send('body')
  await client.receive(/body$/)
})

t.test('with the scope "routes", what awaits 100 Continue goes by its route', async t => {
  const site = await openSite(t, app => {
    echo(app)
    app.post('/shop', { config: { maintenance: true } }, async () => 'sold')
  }, { maintenance: { scope: 'routes' } })
  site.app.maintenance.set('maintenance')
  for (const [path, status] of [['/', 100], ['/shop', 503]] as const) {
    const client = await Connection.open(t, site.port)
    client.ask(`POST ${path}`, 'Content-Type: text/plain', 'Content-Length: 4', 'Expect: 100-continue')
    await client.receive('\r\n\r\n')
    t.same(statuses(client.received), [status])
  }
})

t.test('a client that hangs up instead of sending its body is over', async t => {
  const site = await openSite(t, echo)
  const client = await Connection.open(t, site.port)
  client.ask('POST /', 'Content-Type: text/plain', 'Content-Length: 4', 'Expect: 100-continue')
  await client.receive('100 Continue')
  t.equal(site.inFlight(), 1)
  client.hangUp()
  t.equal(await countAfterAll(site), 0)
})

t.test('an expectation nobody knows fails as it does without the plugin', async t => {
  const site = await openSite(t, echo)
  const client = await Connection.open(t, site.port)
  client.ask('POST /', 'Content-Length: 0', 'Expect: a miracle')
  await client.receive('\r\n\r\n')
  t.same(statuses(client.received), [417])
  t.equal(site.inFlight(), 0)
})

t.test('an expectation nobody knows is refused in maintenance', async t => {
  const site = await openSite(t, echo)
  site.app.maintenance.set('maintenance')
  const client = await Connection.open(t, site.port)
  client.ask('POST /', 'Content-Length: 0', 'Expect: a miracle')
  await client.receive(page.toString())
  t.same(statuses(client.received), [503])
})

t.test('an expectation nobody knows fails in read-only too, where the request itself is admitted', async t => {
  const site = await openSite(t, app => app.get('/', async () => 'hello'))
  site.app.maintenance.set('read-only')
  const client = await Connection.open(t, site.port)
  client.ask('GET /', 'Expect: a miracle')
  await client.receive('\r\n\r\n')
  t.same(statuses(client.received), [417])
})

// An application that takes upgraded connections and sends back what it gets.
function upgrading (app: FastifyInstance): void {
  app.server.on('upgrade', (_request: IncomingMessage, socket: Duplex) => {
    socket.on('error', () => {})
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: example\r\n\r\n')
    socket.pipe(socket)
  })
}

async function upgrade (t: Test, site: Site): Promise<Connection> {
  const client = await Connection.open(t, site.port)
  client.ask('GET /', ...UPGRADE)
  await client.receive('101 Switching Protocols')
  return client
}

t.test('an upgraded connection counts, as unsafe, until it has closed', async t => {
  const site = await openSite(t, upgrading)
  const client = await upgrade(t, site)
  t.equal(site.app.maintenance.inFlight('live'), 1)
  t.equal(site.app.maintenance.inFlight('read-only'), 1)
  client.send('hello')
  await client.receive('hello')
  client.socket.end()
  await client.closed
  t.equal(await countAfterAll(site), 0)
})

t.test('an upgraded connection that is reset is over', async t => {
  const site = await openSite(t, upgrading)
  const client = await upgrade(t, site)
  t.equal(site.inFlight(), 1)
  client.hangUp()
  t.equal(await countAfterAll(site), 0)
})

t.test('the upgraded connections that are open are known', async t => {
  const site = await openSite(t, upgrading)
  const server = site.app.server as Server
  t.equal(upgradedSockets(server).size, 0)
  const client = await upgrade(t, site)
  t.equal(upgradedSockets(server).size, 1)
  client.hangUp()
  await until(() => upgradedSockets(server).size === 0)
})

for (const mode of ['maintenance', 'read-only'] as const) {
  t.test(`${mode} refuses an upgrade, and the application never sees it`, async t => {
    const site = await openSite(t, app => {
      app.server.on('upgrade', () => t.fail('the application saw it'))
    })
    site.app.maintenance.set(mode)
    const client = await Connection.open(t, site.port)
    client.ask('GET /', ...UPGRADE)
    await client.end()
    t.same(statuses(client.received), [503])
    t.ok(client.received.endsWith(page.toString()))
    t.equal(await countAfterAll(site), 0)
  })
}

t.test('listeners added before the plugin and later are guarded alike', async t => {
  const site = await openSite(t, upgrading)
  let others = 0
  site.app.server.prependListener('upgrade', () => others++)
  site.app.maintenance.set('maintenance')
  const refused = await Connection.open(t, site.port)
  refused.ask('GET /', ...UPGRADE)
  await refused.end()
  t.equal(others, 0)
  site.app.maintenance.set('live')
  await upgrade(t, site)
  t.equal(others, 1)
})

t.test('an upgrade that nobody listens for is a request like any other', async t => {
  const site = await openSite(t, app => app.get('/', async () => 'hello'))
  const client = await Connection.open(t, site.port)
  client.ask('GET /', ...UPGRADE)
  await client.receive('hello')
  site.app.maintenance.set('maintenance')
  client.ask('GET /', ...UPGRADE)
  await client.receive(page.toString())
  t.same(statuses(client.received), [200, 503])
})

t.test('an upgraded connection that was open before maintenance stays open, and drained waits for it', async t => {
  const site = await openSite(t, upgrading)
  const client = await upgrade(t, site)
  site.app.maintenance.set('maintenance')
  let isDrained = false
  const drained = site.app.maintenance.drained().then(() => { isDrained = true })
  client.send('still here')
  await client.receive('still here')
  t.notOk(isDrained)
  client.socket.end()
  await drained
  t.equal(site.inFlight(), 0)
})

t.test('what follows an answer that was to be the last of its connection is not processed, in whatever mode', async t => {
  const site = await openSite(t, app => {
    app.get('/', async () => 'hello')
    app.post('/', async () => t.fail('it was processed, and its client will send it again'))
  })
  site.app.maintenance.set('maintenance')
  const accepted = once(site.app.server, 'connection')
  const client = await Connection.open(t, site.port)
  const [socket] = await accepted
  client.ask('POST /', 'Content-Length: 100000')
  await client.receive(page.toString())
  site.app.maintenance.set('live')
  const before = socket.bytesRead
  client.send('x'.repeat(100_000))
  client.ask('POST /', 'Content-Length: 0')
  await until(() => socket.bytesRead > before + 100_000)
  await turns()
  await client.end()
  t.same(statuses(client.received), [503])
  t.equal((await ask(site.port, '/')).body, 'hello')
})

t.test('over HTTP/2 a refused upload leaves the connection to the streams after it', async t => {
  const app = Fastify({ http2: true, forceCloseConnections: true } as object) as unknown as FastifyInstance
  t.teardown(() => app.close())
  await app.register(maintenance, notice)
  app.get('/', async () => 'hello')
  await app.ready()
  const session = connectHttp2(`http://127.0.0.1:${await listen(t, app.server as Server)}`)
  t.teardown(() => session.destroy())
  const statusOf = async (headers: object, body?: string): Promise<unknown> => {
    const stream = session.request({ ':path': '/', ...headers })
    stream.end(body)
    const [{ ':status': status }] = await once(stream, 'response')
    stream.resume()
    return status
  }
  app.maintenance.set('maintenance')
  t.equal(await statusOf({ ':method': 'POST', 'content-length': '100000' }, 'x'.repeat(100_000)), 503)
  app.maintenance.set('live')
  t.equal(await statusOf({ ':method': 'GET' }), 200)
})

t.test('CONNECT is refused in maintenance', async t => {
  const site = await openSite(t, app => {
    app.server.on('connect', () => t.fail('the application saw it'))
  })
  site.app.maintenance.set('maintenance')
  const client = await Connection.open(t, site.port)
  client.ask('CONNECT example.org:443')
  await client.end()
  t.same(statuses(client.received), [503])
})

t.test('CONNECT that nobody listens for is closed, and over', async t => {
  const site = await openSite(t, echo)
  const client = await Connection.open(t, site.port)
  client.ask('CONNECT example.org:443')
  await client.end()
  t.equal(client.received, '')
  t.equal(await countAfterAll(site), 0)
})

t.test('a tunnel that the application opens for CONNECT counts until it has closed', async t => {
  const site = await openSite(t, app => {
    app.server.on('connect', (_request: IncomingMessage, socket: Duplex) => {
      socket.on('error', () => {})
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
    })
  })
  const client = await Connection.open(t, site.port)
  client.ask('CONNECT example.org:443')
  await client.receive('200 OK')
  await turn()
  t.equal(site.inFlight(), 1)
  client.hangUp()
  t.equal(await countAfterAll(site), 0)
})

t.test('with the scope "routes", upgrades are the application\'s own business', async t => {
  const site = await openSite(t, upgrading, { maintenance: { scope: 'routes' } })
  site.app.maintenance.set('maintenance')
  await upgrade(t, site)
  t.equal(site.inFlight(), 0)
})
