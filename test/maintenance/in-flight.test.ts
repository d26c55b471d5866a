import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { mock } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { askAndHangUp, hold } from '../helpers/held.ts'
import { ask, Connection, countAfterAll, openApp, openSite, until } from '../helpers/http.ts'

t.test('a request counts until its response has finished', async t => {
  const handler = hold()
  const site = await openSite(t, app => app.get('/', async (request, reply) => {
    handler.begun.resolve({ request, reply })
    await handler.end.promise
    return 'done'
  }))
  const answer = ask(site.port, '/')
  await handler.begun.promise
  t.equal(site.inFlight(), 1)
  handler.end.resolve()
  t.equal((await answer).body, 'done')
  t.equal(await countAfterAll(site), 0)
})

t.test('requests are as old as the ticks between them', async t => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => mock.timers.reset())
  const handler = hold()
  const app = await openApp(t, app => app.get('/', async () => await handler.end.promise))
  const answers = [app.inject('/')]
  await until(() => app.maintenance.inFlight() === 1)
  mock.timers.tick(100)
  answers.push(app.inject('/'))
  await until(() => app.maintenance.inFlight() === 2)
  const [older, newer] = [...app.maintenance.entries]
  t.ok(newer!.startedMs > older!.startedMs)
  handler.end.resolve()
  await Promise.all(answers)
})

t.test('an injected request counts and is over like one on a socket', async t => {
  const seen: number[] = []
  const app = await openApp(t, app => app.get('/', async () => {
    seen.push(app.maintenance.inFlight())
    return 'done'
  }))
  t.equal((await app.inject('/')).statusCode, 200)
  t.same(seen, [1])
  t.equal(await countAfterAll({ inFlight: () => app.maintenance.inFlight('live') }), 0)
})

t.test('an async handler whose client has hung up counts until it has settled', async t => {
  const handler = hold()
  const site = await openSite(t, app => app.get('/', async (request, reply) => {
    handler.begun.resolve({ request, reply })
    await handler.end.promise
    return 'done'
  }))
  await askAndHangUp(t, site, handler)
  t.equal(site.inFlight(), 1)
  handler.end.resolve()
  t.equal(await countAfterAll(site), 0)
})

t.test('an async handler whose client has hung up and that returns nothing is over when it has settled', async t => {
  const handler = hold()
  const site = await openSite(t, app => app.get('/', async (request, reply) => {
    handler.begun.resolve({ request, reply })
    await handler.end.promise
  }))
  await askAndHangUp(t, site, handler)
  t.equal(site.inFlight(), 1)
  handler.end.resolve()
  t.equal(await countAfterAll(site), 0)
})

t.test('an async handler that fails after its client has hung up is over', async t => {
  const handler = hold()
  const site = await openSite(t, app => app.get('/', async (request, reply) => {
    handler.begun.resolve({ request, reply })
    await handler.end.promise
    throw new Error('too late')
  }))
  await askAndHangUp(t, site, handler)
  t.equal(site.inFlight(), 1)
  handler.end.resolve()
  t.equal(await countAfterAll(site), 0)
})

t.test('a callback-style handler whose client has hung up counts until it replies', async t => {
  const handler = hold()
  const site = await openSite(t, app => app.get('/', (request, reply) => {
    handler.begun.resolve({ request, reply })
    handler.end.promise.then(() => reply.send('done'))
  }))
  await askAndHangUp(t, site, handler)
  t.equal(site.inFlight(), 1)
  handler.end.resolve()
  t.equal(await countAfterAll(site), 0)
})

t.test('a handler that returns the reply and sends it from a callback leaves no count', async t => {
  const site = await openSite(t, app => app.get('/', async (_request, reply) => {
    setImmediate(() => reply.send('done'))
    return reply
  }))
  t.equal((await ask(site.port, '/')).body, 'done')
  t.equal(await countAfterAll(site), 0)
})

t.test('a handler that replies with an error from a callback, after its client has hung up, is over', async t => {
  const handler = hold()
  const site = await openSite(t, app => app.get('/', (request, reply) => {
    handler.begun.resolve({ request, reply })
    handler.end.promise.then(() => reply.send(new Error('too late')))
  }))
  await askAndHangUp(t, site, handler)
  t.equal(site.inFlight(), 1)
  handler.end.resolve()
  t.equal(await countAfterAll(site), 0)
})

t.test('a handler that never replies counts for as long as its client waits', async t => {
  const handler = hold()
  const site = await openSite(t, app => app.get('/', (request, reply) => {
    handler.begun.resolve({ request, reply })
  }))
  const client = await Connection.open(t, site.port)
  client.ask('GET /')
  await handler.begun.promise
  await turn()
  t.equal(site.inFlight(), 1)
})

t.test('a handler that goes on after its reply counts until it has settled', async t => {
  const handler = hold()
  const site = await openSite(t, app => app.get('/', async (request, reply) => {
    reply.send('done')
    handler.begun.resolve({ request, reply })
    await handler.end.promise
  }))
  const { body } = await ask(site.port, '/')
  t.equal(body, 'done')
  const { reply } = await handler.begun.promise
  await until(() => reply.raw.destroyed)
  t.equal(site.inFlight(), 1)
  handler.end.resolve()
  t.equal(await countAfterAll(site), 0)
})

t.test('a handler that fails counts no longer than its answer', async t => {
  const site = await openSite(t, app => {
    app.get('/sync', () => { throw new Error('failed at once') })
    app.get('/async', async () => { throw new Error('failed') })
  })
  for (const path of ['/sync', '/async']) {
    t.equal((await ask(site.port, path)).status, 500)
    t.equal(await countAfterAll(site), 0)
  }
})

t.test('a HEAD route that Fastify derives counts until its handler has settled, once', async t => {
  const handler = hold()
  const site = await openSite(t, app => app.get('/', async (request, reply) => {
    handler.begun.resolve({ request, reply })
    await handler.end.promise
    return 'done'
  }))
  const answer = ask(site.port, '/', { method: 'HEAD' })
  await handler.begun.promise
  t.equal(site.inFlight(), 1)
  handler.end.resolve()
  t.equal((await answer).status, 200)
  t.equal(await countAfterAll(site), 0)
})

t.test('a HEAD request whose client has hung up counts until its handler has settled', async t => {
  const handler = hold()
  const site = await openSite(t, app => app.get('/', async (request, reply) => {
    handler.begun.resolve({ request, reply })
    await handler.end.promise
    return 'done'
  }))
  await askAndHangUp(t, site, handler, 'HEAD')
  t.equal(site.inFlight(), 1)
  handler.end.resolve()
  t.equal(await countAfterAll(site), 0)
})

t.test('a handler shared by several routes is counted once a request', async t => {
  const seen: number[] = []
  const site = await openSite(t, app => {
    const handler = async (): Promise<string> => {
      seen.push(app.maintenance.inFlight())
      return 'done'
    }
    app.get('/one', handler)
    app.get('/two', handler)
    app.route({ method: ['PUT', 'PATCH'], url: '/three', handler })
  })
  await ask(site.port, '/one')
  await ask(site.port, '/two')
  await ask(site.port, '/three', { method: 'PATCH' })
  t.same(seen, [1, 1, 1])
  t.equal(await countAfterAll(site), 0)
})

t.test('pipelined requests whose client has hung up are all over when their handlers are', async t => {
  const handler = hold()
  let begun = 0
  const site = await openSite(t, app => {
    app.get('/slow', async (request, reply) => {
      begun++
      handler.begun.resolve({ request, reply })
      await handler.end.promise
      return 'slow'
    })
    app.get('/fast', async () => {
      begun++
      return 'fast'
    })
  })
  const client = await Connection.open(t, site.port)
  client.ask('GET /slow')
  client.ask('GET /fast')
  client.ask('GET /slow')
  await until(() => begun === 3)
  t.equal(site.inFlight(), 3)
  const { reply } = await handler.begun.promise
  const closed = once(reply.raw, 'close')
  client.hangUp()
  await closed
  await turn()
  t.equal(site.inFlight(), 2)
  handler.end.resolve()
  t.equal(await countAfterAll(site), 0)
})

t.test('requests of all kinds, aborted or not, leave a count of exactly zero', async t => {
  const site = await openSite(t, app => {
    app.get('/async', async () => {
      await turn()
      return 'async'
    })
    app.get('/callback', (_request, reply) => { setImmediate(() => reply.send('callback')) })
    app.get('/error', async () => { throw new Error('failed') })
    app.get('/stream', (_request, reply) => { reply.send(createReadStream(import.meta.filename)) })
    app.post('/body', async request => request.body)
  })
  const paths = ['GET /async', 'GET /callback', 'GET /error', 'GET /stream', 'GET /missing', 'GET /%', 'HEAD /async']
  for (let round = 0; round < 40; round++) {
    const clients = await Promise.all(paths.map(async path => {
      const client = await Connection.open(t, site.port)
      client.ask(path)
      return client
    }))
    for (let i = 0; i < round % 5; i++) await turn()
    for (const [index, client] of clients.entries()) {
      if ((index + round) % 2 === 0) client.hangUp()
      else await client.receive('HTTP/1.1')
    }
  }
  t.equal(await countAfterAll(site), 0)
})
