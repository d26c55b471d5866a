import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { askAndHangUp, hold } from '../helpers/held.ts'
import { ask, countAfterAll, openSite, until } from '../helpers/http.ts'

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
  const hook = hold()
  const handler = hold()
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
  const hook = hold()
  const handler = hold()
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
  const hook = hold()
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
  const hook = hold()
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
  const hook = hold()
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

t.test('a slow handler for what is not found counts until it has settled, though its client has hung up', async t => {
  const handler = hold()
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
  const handler = hold()
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
  const handler = hold()
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

t.test('a callback-style reply aborted while it goes through a hook is over', async t => {
  const hook = hold()
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
