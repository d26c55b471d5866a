import { once } from 'node:events'
import { createReadStream, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import fastifyStatic from '@fastify/static'
import type { FastifyReply, FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import { ask, Connection, countAfterAll, openApp, openSite, until, type Site } from '../helpers/http.ts'

// A handler that a test holds: it says when it has begun and ends when the test lets it.
function held () {
  const begun = Promise.withResolvers<{ request: FastifyRequest, reply: FastifyReply }>()
  const end = Promise.withResolvers<void>()
  return { begun, end }
}

// A GET that reaches the handler and is then aborted; resolves when the server knows.
async function askAndHangUp (t: Test, site: Site, handler: ReturnType<typeof held>): Promise<FastifyReply> {
  const client = await Connection.open(t, site.port)
  client.ask('GET /')
  const { reply } = await handler.begun.promise
  const closed = once(reply.raw, 'close')
  client.hangUp()
  await closed
  await turn()
  return reply
}

t.test('a request counts until its response has finished', async t => {
  const handler = held()
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
  const handler = held()
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
  const handler = held()
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
  const handler = held()
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
  const handler = held()
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
  const handler = held()
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
  const handler = held()
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
  const handler = held()
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
    app.get('/nothing', () => Promise.reject())
  })
  for (const path of ['/sync', '/async', '/nothing']) {
    t.equal((await ask(site.port, path)).status, 500)
    t.equal(await countAfterAll(site), 0)
  }
})

t.test('an error handler that fails too leaves no count', async t => {
  const site = await openSite(t, app => {
    app.setErrorHandler(async () => { throw new Error('failed again') })
    app.get('/', async () => { throw new Error('failed') })
  })
  t.equal((await ask(site.port, '/')).status, 500)
  t.equal(await countAfterAll(site), 0)
})

t.test('a reply that cannot be serialised leaves no count', async t => {
  const site = await openSite(t, app => app.get('/', async () => ({ number: 1n })))
  t.equal((await ask(site.port, '/')).status, 500)
  t.equal(await countAfterAll(site), 0)
})

t.test('a request aborted in a hook counts through the hook and through the async handler after it', async t => {
  const hook = held()
  const handler = held()
  const site = await openSite(t, app => app.get('/', {
    preHandler: async (request, reply) => {
      hook.begun.resolve({ request, reply })
      await hook.end.promise
    }
  }, async (request, reply) => {
    handler.begun.resolve({ request, reply })
    await handler.end.promise
    return 'done'
  }))
  await askAndHangUp(t, site, hook)
  t.equal(site.inFlight(), 1)
  hook.end.resolve()
  await handler.begun.promise
  await turn()
  t.equal(site.inFlight(), 1)
  handler.end.resolve()
  t.equal(await countAfterAll(site), 0)
})

t.test('a request aborted in a hook counts through the callback-style handler after it', async t => {
  const hook = held()
  const handler = held()
  const site = await openSite(t, app => app.get('/', {
    preHandler: async (request, reply) => {
      hook.begun.resolve({ request, reply })
      await hook.end.promise
    }
  }, (request, reply) => {
    handler.begun.resolve({ request, reply })
    handler.end.promise.then(() => reply.send('done'))
  }))
  await askAndHangUp(t, site, hook)
  hook.end.resolve()
  await handler.begun.promise
  await turn()
  t.equal(site.inFlight(), 1)
  handler.end.resolve()
  t.equal(await countAfterAll(site), 0)
})

t.test('a request aborted in a hook that then fails is over, and its handler never runs', async t => {
  const hook = held()
  const site = await openSite(t, app => app.get('/', {
    onRequest: async (request, reply) => {
      hook.begun.resolve({ request, reply })
      await hook.end.promise
      throw new Error('not allowed')
    }
  }, () => t.fail('the handler ran')))
  await askAndHangUp(t, site, hook)
  t.equal(site.inFlight(), 1)
  hook.end.resolve()
  t.equal(await countAfterAll(site), 0)
})

t.test('a request aborted in a hook that then replies is over', async t => {
  const hook = held()
  const site = await openSite(t, app => app.get('/', {
    preHandler: (request, reply) => {
      hook.begun.resolve({ request, reply })
      hook.end.promise.then(() => reply.code(403).send('no'))
    }
  }, () => t.fail('the handler ran')))
  await askAndHangUp(t, site, hook)
  t.equal(site.inFlight(), 1)
  hook.end.resolve()
  t.equal(await countAfterAll(site), 0)
})

t.test('a request aborted while its response goes through a hook is over when the hook has settled', async t => {
  const hook = held()
  const site = await openSite(t, app => app.get('/', {
    onSend: async (request, reply) => {
      hook.begun.resolve({ request, reply })
      await hook.end.promise
    }
  }, async () => 'done'))
  await askAndHangUp(t, site, hook)
  hook.end.resolve()
  t.equal(await countAfterAll(site), 0)
})

t.test('an upload that is broken off is over', async t => {
  const site = await openSite(t, app => app.post('/', async () => t.fail('the handler ran')))
  const client = await Connection.open(t, site.port)
  client.ask('POST /', 'Content-Type: application/json', 'Content-Length: 1000')
  client.send('{"half":')
  await until(() => site.inFlight() === 1)
  client.hangUp()
  t.equal(await countAfterAll(site), 0)
})

t.test('a handler that reads its upload as a stream is over once the client has hung up', async t => {
  const handler = held()
  const site = await openSite(t, app => {
    app.addContentTypeParser('application/octet-stream', (_request, payload, done) => done(null, payload))
    app.post('/', async (request, reply) => {
      handler.begun.resolve({ request, reply })
      for await (const _chunk of request.body as AsyncIterable<Buffer>);
      return 'done'
    })
  })
  const client = await Connection.open(t, site.port)
  client.ask('POST /', 'Content-Type: application/octet-stream', 'Content-Length: 1000')
  client.send('half')
  await handler.begun.promise
  t.equal(site.inFlight(), 1)
  client.hangUp()
  t.equal(await countAfterAll(site), 0)
})

t.test('a hijacked reply counts until its connection has closed', async t => {
  const handler = held()
  const site = await openSite(t, app => app.get('/', (request, reply) => {
    reply.hijack()
    reply.raw.writeHead(200, { 'Content-Type': 'text/event-stream' }).write('data: first\n\n')
    handler.begun.resolve({ request, reply })
  }))
  const client = await Connection.open(t, site.port)
  client.ask('GET /')
  await client.receive('data: first')
  t.equal(site.inFlight(), 1)
  client.hangUp()
  t.equal(await countAfterAll(site), 0)
})

t.test('a hijacked reply whose async handler goes on counts until that has settled', async t => {
  const handler = held()
  const site = await openSite(t, app => app.get('/', async (request, reply) => {
    reply.hijack()
    reply.raw.writeHead(200).write('begun')
    handler.begun.resolve({ request, reply })
    await handler.end.promise
  }))
  await askAndHangUp(t, site, handler)
  t.equal(site.inFlight(), 1)
  handler.end.resolve()
  t.equal(await countAfterAll(site), 0)
})

t.test('a file that is streamed counts until its client has it', async t => {
  const path = largeFile(t)
  const site = await openSite(t, app => app.get('/', (_request, reply) => {
    reply.type('application/octet-stream').send(createReadStream(path))
  }))
  const answer = ask(site.port, '/')
  await until(() => site.inFlight() === 1)
  t.equal((await answer).body.length, LARGE)
  t.equal(await countAfterAll(site), 0)
})

t.test('a file whose client has hung up is over', async t => {
  const path = largeFile(t)
  const site = await openSite(t, app => app.get('/', (_request, reply) => {
    reply.type('application/octet-stream').send(createReadStream(path))
  }))
  const client = await Connection.open(t, site.port)
  client.ask('GET /')
  await client.receive('HTTP/1.1 200')
  client.socket.pause()
  t.equal(site.inFlight(), 1)
  client.hangUp()
  t.equal(await countAfterAll(site), 0)
})

t.test('a static file whose client has hung up is over', async t => {
  const path = largeFile(t)
  const site = await openSite(t, app => app.register(fastifyStatic, { root: join(path, '..') }))
  const client = await Connection.open(t, site.port)
  client.ask('GET /large')
  await client.receive('HTTP/1.1 200')
  client.socket.pause()
  t.equal(site.inFlight(), 1)
  client.hangUp()
  t.equal(await countAfterAll(site), 0)
})

t.test('a static file, its HEAD, a range, a cached and a missing one leave no count', async t => {
  const path = largeFile(t)
  const site = await openSite(t, app => app.register(fastifyStatic, { root: join(path, '..') }))
  const { headers: { etag } } = await ask(site.port, '/large')
  t.equal((await ask(site.port, '/large', { method: 'HEAD' })).status, 200)
  t.equal((await ask(site.port, '/large', { headers: { Range: 'bytes=0-9' } })).status, 206)
  t.equal((await ask(site.port, '/large', { headers: { 'If-None-Match': String(etag) } })).status, 304)
  t.equal((await ask(site.port, '/missing')).status, 404)
  t.equal(await countAfterAll(site), 0)
})

t.test('a HEAD route that Fastify derives counts until its handler has settled, once', async t => {
  const handler = held()
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

t.test('a slow handler for what is not found counts until it has settled, though its client has hung up', async t => {
  const handler = held()
  const site = await openSite(t, app => app.setNotFoundHandler(async (request, reply) => {
    handler.begun.resolve({ request, reply })
    await handler.end.promise
    return 'nothing here'
  }))
  await askAndHangUp(t, site, handler)
  t.equal(site.inFlight(), 1)
  handler.end.resolve()
  t.equal(await countAfterAll(site), 0)
})

t.test('a slow error handler counts until it has settled, though its client has hung up', async t => {
  const handler = held()
  const site = await openSite(t, app => {
    app.setErrorHandler(async (_error, request, reply) => {
      handler.begun.resolve({ request, reply })
      await handler.end.promise
      return 'an error'
    })
    app.get('/', async () => { throw new Error('failed') })
  })
  await askAndHangUp(t, site, handler)
  t.equal(site.inFlight(), 1)
  handler.end.resolve()
  t.equal(await countAfterAll(site), 0)
})

t.test('a handler given up by its time limit counts until it has settled', async t => {
  const handler = held()
  const site = await openSite(t, app => app.get('/', { handlerTimeout: 20 }, async (request, reply) => {
    handler.begun.resolve({ request, reply })
    await handler.end.promise
    return 'too late'
  }))
  t.equal((await ask(site.port, '/')).status, 503)
  const { reply } = await handler.begun.promise
  await until(() => reply.raw.destroyed)
  t.equal(site.inFlight(), 1)
  handler.end.resolve()
  t.equal(await countAfterAll(site), 0)
})

t.test('pipelined requests whose client has hung up are all over when their handlers are', async t => {
  const handler = held()
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

t.test('a callback-style reply aborted while it goes through a hook is over', async t => {
  const hook = held()
  const site = await openSite(t, app => app.get('/', {
    onSend: async (request, reply) => {
      hook.begun.resolve({ request, reply })
      await hook.end.promise
    }
  }, (_request, reply) => { reply.send('done') }))
  await askAndHangUp(t, site, hook)
  hook.end.resolve()
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

const LARGE = 8 * 1024 * 1024

function largeFile (t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'myserver-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'large')
  writeFileSync(path, Buffer.alloc(LARGE, '.'))
  return path
}
