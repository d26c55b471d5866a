import { once } from 'node:events'
import { METHODS } from 'node:http'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import t from 'tap'
import maintenance, { frameworkErrors } from '../../src/maintenance/plugin.ts'
import { Ticket } from '../../src/maintenance/in-flight.ts'
import { allocateSwitch, Switch } from '../../src/maintenance/switch.ts'
import { ask, Connection, notice, oneConnection, openApp, openSite, page, statuses, turns, until } from '../helpers/http.ts'

const hello = (app: FastifyInstance): unknown => app.get('/', async () => 'hello')

t.test('live, every request is let through', async t => {
  const app = await openApp(t, hello)
  t.equal((await app.inject('/')).body, 'hello')
  t.equal((await app.inject('/missing')).statusCode, 404)
})

t.test('in maintenance, a route gets the page', async t => {
  const app = await openApp(t, hello)
  app.maintenance.set('maintenance')
  const { statusCode, rawPayload } = await app.inject('/')
  t.equal(statusCode, 503)
  t.ok(rawPayload.equals(page))
})

t.test('a change of mode is obeyed by the next request', async t => {
  const app = await openApp(t, hello)
  for (const [mode, status] of [['maintenance', 503], ['live', 200], ['read-only', 200], ['maintenance', 503]] as const) {
    app.maintenance.set(mode)
    t.equal((await app.inject('/')).statusCode, status)
  }
})

t.test('in maintenance, what is not found gets the page too', async t => {
  const app = await openApp(t, app => app.setNotFoundHandler(async () => 'nothing here'))
  app.maintenance.set('maintenance')
  t.equal((await app.inject('/missing')).statusCode, 503)
})

t.test('routes declared before the plugin, beside it and below it are under the switch', async t => {
  const app = Fastify()
  app.get('/before', async () => 'before')
  app.register(async child => { child.get('/child-before', async () => 'child') })
  app.register(maintenance, notice)
  app.get('/beside', async () => 'beside')
  app.register(async child => {
    child.get('/', async () => 'child')
    child.setNotFoundHandler(async () => 'nothing here')
  }, { prefix: '/below' })
  await app.ready()
  t.teardown(() => app.close())
  app.maintenance.set('maintenance')
  for (const path of ['/before', '/child-before', '/beside', '/below', '/below/missing']) {
    t.equal((await app.inject(path)).statusCode, 503, path)
  }
  app.maintenance.set('live')
  for (const path of ['/before', '/child-before', '/beside', '/below', '/below/missing']) {
    t.equal((await app.inject(path)).statusCode, 200, path)
  }
})

t.test('every method that Node parses is refused', async t => {
  const site = await openSite(t, hello)
  site.app.maintenance.set('maintenance')
  for (const method of METHODS) {
    const client = await Connection.open(t, site.port)
    client.ask(`${method} ${method === 'CONNECT' ? 'example.org:443' : '/'}`, 'Content-Length: 0')
    await client.receive(method === 'HEAD' ? '\r\n\r\n' : page.toString())
    t.same(statuses(client.received), [503], method)
    client.hangUp()
  }
})

t.test('read-only lets safe methods through and no other', async t => {
  const app = await openApp(t, app => app.all('/', async () => 'hello'))
  app.maintenance.set('read-only')
  const statusOf = async (method: string): Promise<number> =>
    (await app.inject({ method: method as 'GET', url: '/' })).statusCode
  for (const method of ['GET', 'HEAD', 'OPTIONS', 'TRACE']) t.not(await statusOf(method), 503, method)
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) t.equal(await statusOf(method), 503, method)
})

t.test('read-only refuses every method that is not known to be safe', async t => {
  const site = await openSite(t, hello)
  site.app.maintenance.set('read-only')
  for (const method of METHODS.filter(method => !['GET', 'HEAD', 'OPTIONS', 'TRACE'].includes(method))) {
    const client = await Connection.open(t, site.port)
    client.ask(`${method} ${method === 'CONNECT' ? 'example.org:443' : '/'}`, 'Content-Length: 0')
    await client.receive(page.toString())
    t.same(statuses(client.received), [503], method)
    client.hangUp()
  }
})

t.test('a route that is not under the switch is served in maintenance', async t => {
  const app = await openApp(t, app => app.get('/health', { config: { maintenance: false } }, async () => 'well'))
  app.maintenance.set('maintenance')
  t.equal((await app.inject('/health')).body, 'well')
  t.equal((await app.inject({ method: 'HEAD', url: '/health' })).statusCode, 200)
})

t.test('a route that is not under the switch never counts', async t => {
  const seen: number[] = []
  const app = await openApp(t, app => app.get('/health', { config: { maintenance: false } }, async () => {
    seen.push(app.maintenance.inFlight('live'))
    return 'well'
  }))
  await app.inject('/health')
  t.same(seen, [0])
})

t.test('with the scope "routes", only the routes that ask for it are under the switch', async t => {
  const app = await openApp(t, app => {
    app.get('/', async () => 'hello')
    app.get('/shop', { config: { maintenance: true } }, async () => 'shop')
  }, { maintenance: { scope: 'routes' } })
  app.maintenance.set('maintenance')
  t.equal((await app.inject('/')).statusCode, 200)
  t.equal((await app.inject('/missing')).statusCode, 404)
  t.equal((await app.inject('/%')).statusCode, 400)
  t.equal((await app.inject('/shop')).statusCode, 503)
})

const tooLong = `/item/${'x'.repeat(200)}`
for (const [what, url, status] of [['malformed', '/%', 400], ['too long', tooLong, 414]] as const) {
  t.test(`a path that is ${what} is refused in maintenance`, async t => {
    const site = await openSite(t, app => app.get('/item/:id', async () => 'item'))
    site.app.maintenance.set('maintenance')
    const { status, body } = await ask(site.port, url)
    t.equal(status, 503)
    t.equal(body, page.toString())
    t.equal(site.inFlight(), 0)
  })

  t.test(`a path that is ${what} gets Fastify's own answer while live`, async t => {
    const define = (app: FastifyInstance): unknown => app.get('/item/:id', async () => 'item')
    const site = await openSite(t, define)
    const bare = Fastify({ logger: false })
    t.teardown(() => bare.close())
    await define(bare)
    const own = await ask(site.port, url)
    const fastifys = await bare.inject(url)
    t.equal(own.status, fastifys.statusCode)
    t.equal(own.status, status)
    const { code, message, statusCode } = fastifys.json()
    t.match(JSON.parse(own.body), { code, message, statusCode })
    t.equal(site.inFlight(), 0)
  })
}

t.test('frameworkErrors answers as Fastify does where the plugin is not registered', async t => {
  const app = Fastify({ frameworkErrors } as FastifyServerOptions)
  t.teardown(() => app.close())
  t.equal((await app.inject('/%')).statusCode, 400)
})

t.test('an answer does not wait for a hook of the application that never ends', async t => {
  const never = new Promise<never>(() => {})
  const site = await openSite(t, app => {
    app.addHook('onRequest', () => never)
    app.addHook('preParsing', () => never)
    app.addHook('onSend', () => never)
    app.addHook('onError', () => never)
    app.register(async child => { child.addHook('onRequest', () => never) })
    hello(app)
  })
  site.app.maintenance.set('maintenance')
  t.equal((await ask(site.port, '/')).status, 503)
  t.equal((await ask(site.port, '/missing')).status, 503)
})

t.test('no hook of the application can change the answer', async t => {
  const app = await openApp(t, app => {
    app.addHook('onSend', async (_request, reply) => {
      reply.code(200).header('X-Changed', 'yes')
      return 'changed'
    })
    hello(app)
  })
  app.maintenance.set('maintenance')
  const { statusCode, headers, body } = await app.inject('/')
  t.equal(statusCode, 503)
  t.notOk(headers['x-changed'])
  t.equal(body, page.toString())
})

t.test('thousands of refusals leave no line in the log', async t => {
  const lines: string[] = []
  const site = await openSite(t, hello, {
    fastify: { logger: { level: 'warn', stream: { write: line => { lines.push(line) } } } }
  })
  site.app.maintenance.set('maintenance')
  lines.length = 0
  const agent = oneConnection(t)
  for (let i = 0; i < 500; i++) await ask(site.port, '/', { agent })
  for (let i = 0; i < 2_000; i++) await site.app.inject('/missing')
  t.same(lines, [])
})

t.test('hooks that come before the plugin are told what became of a request', async t => {
  const seen: unknown[] = []
  const app = Fastify()
  t.teardown(() => app.close())
  app.addHook('onResponse', async request => { seen.push(request.maintenance instanceof Ticket ? 'admitted' : request.maintenance) })
  await app.register(maintenance, notice)
  hello(app)
  await app.inject('/')
  app.maintenance.set('maintenance')
  await app.inject('/')
  await until(() => seen.length === 2)
  t.same(seen, ['admitted', 'refused'])
})

for (const [where, isExempt] of [['before Fastify sees it', false], ['by the onRequest hook, since some route is exempt', true]] as const) {
  t.test(`the application's own hooks do not run for what is refused ${where}`, async t => {
    let ran = 0
    const hook = async (): Promise<void> => { ran++ }
    const site = await openSite(t, app => {
      for (const name of ['onRequest', 'preParsing', 'preValidation', 'preHandler', 'onSend', 'onResponse'] as const) app.addHook(name, hook)
      app.addHook('onRequestAbort', async _request => { ran++ })
      app.post('/', { onResponse: hook }, async () => 'done')
      if (isExempt) app.get('/health', { config: { maintenance: false } }, async () => 'ok')
    })
    site.app.maintenance.set('maintenance')
    const accepted = once(site.app.server, 'connection')
    const client = await Connection.open(t, site.port)
    const [socket] = await accepted
    client.ask('POST /', 'Content-Length: 1000')
    await client.receive('Back soon')
    client.hangUp()
    await until(() => socket.destroyed)
    await turns()
    t.equal(ran, 0)
  })
}

t.test('it counts what it refuses, in the slot that it was given', async t => {
  const memory = allocateSwitch(2)
  const theSwitch = new Switch(memory)
  const app = await openApp(t, hello, { maintenance: { shared: { memory, worker: 1 } } })
  theSwitch.mode = 'maintenance'
  for (const path of ['/', '/missing', '/%']) await app.inject(path)
  t.equal(theSwitch.refused(1), 3)
  t.equal(theSwitch.refused(0), 0)
})
