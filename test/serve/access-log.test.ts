import { once } from 'node:events'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { LogController } from 'fastify'
import t, { type Test } from 'tap'
import accessLog from '../../src/serve/access-log.ts'
import { ask, Connection, openSite, until, type Site } from '../helpers/http.ts'
import { readableLog, type Line } from '../helpers/worker-data.ts'

async function open (t: Test, define: (app: FastifyInstance) => unknown): Promise<{ site: Site, requests: () => Line[] }> {
  const { logger, lines } = readableLog()
  const site = await openSite(t, async app => {
    await app.register(accessLog)
    await define(app)
  }, {
    fastify: {
      loggerInstance: logger as FastifyBaseLogger,
      logController: new LogController({ disableRequestLogging: true }),
      trustProxy: ['127.0.0.1']
    }
  })
  return { site, requests: () => lines.filter(({ event }) => event === 'request') }
}

const hello = (app: FastifyInstance): unknown => app.get('/', async () => 'hello')

t.test('a request is one line, once it is over', async t => {
  const { site, requests } = await open(t, hello)
  await ask(site.port, '/?q=1')
  await until(() => requests().length > 0)
  t.equal(requests().length, 1)
  t.match(requests()[0], { method: 'GET', url: '/?q=1', status: 200, ms: Number, ip: '127.0.0.1', msg: 'request' })
})

t.test('so is one that is not found, or fails', async t => {
  const { site, requests } = await open(t, app => app.get('/', async () => { throw new Error('failed') }))
  await ask(site.port, '/')
  await ask(site.port, '/missing')
  await until(() => requests().length === 2)
  t.same(requests().map(({ status }) => status), [500, 404])
})

t.test('behind a trusted proxy, the address is the client\'s', async t => {
  const { site, requests } = await open(t, hello)
  await ask(site.port, '/', { headers: { 'X-Forwarded-For': '203.0.113.7' } })
  await until(() => requests().length === 1)
  t.equal(requests()[0]?.ip, '203.0.113.7')
})

t.test('a refused request is no line', async t => {
  const { site, requests } = await open(t, hello)
  site.app.maintenance.set('maintenance')
  await ask(site.port, '/')
  await ask(site.port, '/missing')
  site.app.maintenance.set('live')
  await ask(site.port, '/')
  await until(() => requests().length > 0)
  t.same(requests().map(({ status }) => status), [200])
})

t.test('an upload whose client hung up is one line, which says so', async t => {
  const { site, requests } = await open(t, app => app.post('/', async () => 'done'))
  const client = await Connection.open(t, site.port)
  client.ask('POST /', 'Content-Type: text/plain', 'Content-Length: 1000')
  client.send('half')
  await until(() => site.inFlight() === 1)
  client.hangUp()
  await until(() => requests().length > 0 && site.inFlight() === 0)
  t.equal(requests().length, 1)
  t.match(requests()[0], { method: 'POST', msg: 'request aborted' })
})

t.test('a request whose client hung up while its handler ran is one line, which says so', async t => {
  const begun = Promise.withResolvers<void>()
  const end = Promise.withResolvers<void>()
  const { site, requests } = await open(t, app => app.get('/', async () => {
    begun.resolve()
    await end.promise
    return 'done'
  }))
  const accepted = once(site.app.server, 'connection')
  const client = await Connection.open(t, site.port)
  client.ask('GET /')
  await begun.promise
  const [socket] = await accepted
  client.hangUp()
  await until(() => socket.destroyed)
  end.resolve()
  await until(() => requests().length > 0 && site.inFlight() === 0)
  t.equal(requests().length, 1)
  t.match(requests()[0], { method: 'GET', msg: 'request aborted' })
})
