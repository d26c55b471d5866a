import { once } from 'node:events'
import Fastify, { type FastifyReply } from 'fastify'
import t from 'tap'
import maintenance from '../../src/maintenance/plugin.ts'
import { askAndHangUp, hold } from '../helpers/held.ts'
import { ask, Connection, countAfterAll, listen, notice, openApp, openSite, turns, until } from '../helpers/http.ts'

t.test('a handler that returns the reply counts until it is sent, though the client has hung up', async t => {
  const handler = hold()
  const site = await openSite(t, app => app.get('/', async (request, reply) => {
    handler.begun.resolve({ request, reply })
    handler.end.promise.then(() => reply.send('done'))
    return reply
  }))
  await askAndHangUp(t, site, handler)
  await turns()
  t.equal(site.inFlight(), 1)
  handler.end.resolve()
  t.equal(await countAfterAll(site), 0)
})

t.test('a callback-style error handler counts until it replies, though the client has hung up', async t => {
  const handler = hold()
  const site = await openSite(t, app => {
    app.setErrorHandler((_error, request, reply) => {
      handler.begun.resolve({ request, reply })
      handler.end.promise.then(() => reply.send('failed'))
    })
    app.get('/', (_request, reply) => { reply.send(new Error('no')) })
  })
  await askAndHangUp(t, site, handler)
  await turns()
  t.equal(site.inFlight(), 1)
  handler.end.resolve()
  t.equal(await countAfterAll(site), 0)
})

t.test('a stream of its own, written past Fastify, is over when its client has hung up', async t => {
  const handler = hold()
  const site = await openSite(t, app => app.get('/', (request, reply) => {
    reply.raw.writeHead(200, { 'Content-Type': 'text/event-stream' })
    reply.raw.write('data: 1\n\n')
    handler.begun.resolve({ request, reply })
  }))
  await askAndHangUp(t, site, handler)
  t.equal(await countAfterAll(site), 0)
})

t.test('a reply that is hijacked when its client has hung up is over', async t => {
  const handler = hold()
  const site = await openSite(t, app => app.get('/', (request, reply) => {
    handler.begun.resolve({ request, reply })
    handler.end.promise.then(() => reply.hijack())
  }))
  await askAndHangUp(t, site, handler)
  await turns()
  t.equal(site.inFlight(), 1)
  handler.end.resolve()
  t.equal(await countAfterAll(site), 0)
})

for (const style of ['async', 'callback'] as const) {
  t.test(`a reply that is written past Fastify when its client has hung up is over (${style})`, async t => {
    const handler = hold()
    const site = await openSite(t, app => app.get('/', (request, reply) => {
      handler.begun.resolve({ request, reply })
      handler.end.promise.then(() => reply.raw.end('done'))
      return style === 'async' ? Promise.resolve(reply) : undefined
    }))
    await askAndHangUp(t, site, handler)
    await turns()
    t.equal(site.inFlight(), 1)
    handler.end.resolve()
    t.equal(await countAfterAll(site), 0)
  })
}

t.test('what a query builder returns is asked once', async t => {
  let asked = 0
  const query = {
    then (resolve: (rows: string) => void) {
      asked++
      setImmediate(resolve, 'rows')
    }
  }
  const site = await openSite(t, app => {
    app.addHook('preHandler', () => query as unknown as Promise<void>)
    app.get('/', () => query)
  })
  t.equal((await ask(site.port, '/')).body, 'rows')
  t.equal(asked, 2, 'the hook\'s and the handler\'s')
  t.equal(await countAfterAll(site), 0)
})

t.test('a request whose client has gone before the plugin saw it is over when its handler is', async t => {
  const hook = hold()
  const handler = hold()
  const app = Fastify({ forceCloseConnections: true })
  t.teardown(() => app.close())
  app.addHook('onRequest', async (request, reply) => {
    hook.begun.resolve({ request, reply })
    await hook.end.promise
  })
  await app.register(maintenance, notice)
  app.get('/', async (request, reply) => {
    handler.begun.resolve({ request, reply })
    await handler.end.promise
    return 'done'
  })
  await app.ready()
  const port = await listen(t, app.server)
  const site = { app, port, inFlight: () => app.maintenance.inFlight('live') }
  await askAndHangUp(t, site, hook)
  hook.end.resolve()
  await handler.begun.promise
  await turns()
  t.equal(site.inFlight(), 1)
  handler.end.resolve()
  t.equal(await countAfterAll(site), 0)
})

t.test('a request that the application routes once more is counted once, and over', async t => {
  let seen = 0
  const site = await openSite(t, app => {
    app.get('/', (request, reply) => {
      reply.hijack()
      request.raw.url = '/other'
      app.routing(request.raw, reply.raw)
    })
    app.get('/other', async () => {
      seen = site.inFlight()
      return 'other'
    })
  })
  t.equal((await ask(site.port, '/')).body, 'other')
  t.equal(seen, 1)
  t.equal(await countAfterAll(site), 0)
})

t.test('cutting leaves a connection alone that has had its response', async t => {
  const handler = hold()
  const site = await openSite(t, app => {
    app.get('/', async (request, reply) => {
      reply.send('done')
      handler.begun.resolve({ request, reply })
      await handler.end.promise
    })
    app.get('/next', async () => 'next')
  })
  const client = await Connection.open(t, site.port)
  client.ask('GET /')
  const { reply } = await handler.begun.promise
  await client.receive('done')
  await until(() => reply.raw.destroyed)
  t.same([...site.app.maintenance.entries].map(entry => entry.cut()), [false])
  client.ask('GET /next')
  await client.receive('next')
  handler.end.resolve()
  t.equal(await countAfterAll(site), 0)
})

t.test('requests that an upgrade on their connection cuts off are over, and wait for nothing', async t => {
  for (const last of ['CONNECT example.org:443', 'GET /']) {
    for (const isListenedFor of [true, false]) {
      const begun: FastifyReply[] = []
      const site = await openSite(t, app => {
        if (isListenedFor) app.server.on('upgrade', () => t.fail('it was upgraded')).on('connect', () => t.fail('it was connected'))
        app.get('/slow', async (_request, reply) => {
          begun.push(reply)
          await once(reply.raw, 'close')
          return 'too late'
        })
      })
      const client = await Connection.open(t, site.port)
      for (let i = 0; i < 3; i++) client.ask('GET /slow')
      await until(() => begun.length === 3)
      t.equal(site.inFlight(), 3)
      client.ask(last, ...last.startsWith('GET') ? ['Connection: Upgrade', 'Upgrade: example'] : [])
      // Without a listener an upgrade is a request like any other.
      if (last.startsWith('GET') && !isListenedFor) client.hangUp()
      else await client.end()
      t.equal(await countAfterAll(site), 0)
    }
  }
})

t.test('callbacks of hooks behave as they do without the plugin', async t => {
  const app = await openApp(t, app => {
    app.addHook('onResponse', (_request, _reply, done) => {
      done()
      done()
    })
    // As instrumentation writes them.
    app.addHook('onResponse', (...args) => { (args[2] as () => void)() })
    app.addHook('onResponse', () => { throw new Error('a failure of its own') })
    app.get('/', async () => 'done')
  })
  t.equal((await app.inject('/')).body, 'done')
  t.equal(await countAfterAll({ inFlight: () => app.maintenance.inFlight('live') }), 0)
})

t.test('a hook that takes no callback and returns nothing is over', async t => {
  const app = await openApp(t, app => {
    app.addHook('onResponse', ((_request: unknown, _reply: unknown) => {}) as () => Promise<void>)
    app.get('/', async () => 'done')
  })
  await app.inject('/')
  t.equal(await countAfterAll({ inFlight: () => app.maintenance.inFlight('live') }), 0)
})

t.test('an application may put a method of its own before the reply\'s', async t => {
  const site = await openSite(t, app => {
    app.addHook('onRequest', async (_request, reply) => {
      const { send } = reply
      reply.send = function (this: FastifyReply, payload: unknown) { return send.call(this, `${String(payload)}, traced`) } as typeof send
    })
    app.get('/', (_request, reply) => { reply.send('done') })
    app.get('/next', async () => 'next')
  })
  t.equal((await ask(site.port, '/')).body, 'done, traced')
  t.equal((await ask(site.port, '/next')).body, 'next, traced')
  t.equal(await countAfterAll(site), 0)
})
