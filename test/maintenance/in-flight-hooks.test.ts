import { Readable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import type { FastifyReply, FastifyRequest, onRequestAbortHookHandler, preHandlerHookHandler } from 'fastify'
import t from 'tap'
import { askAndHangUp, hold, type Held } from '../helpers/held.ts'
import { ask, countAfterAll, openApp, openSite, turns, until } from '../helpers/http.ts'

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

// As an application would write them: async, or with a callback. The callback is the last argument.
type Written = (held: Held) => (...args: unknown[]) => unknown
const styles: Readonly<Record<string, Written>> = {
  async: held => async (request, reply) => {
    begin(held, request, reply)
    await held.end.promise
  },
  callback: held => (...args) => {
    begin(held, args[0], args[1])
    held.end.promise.then(() => (args.at(-1) as () => void)())
  }
}

function begin ({ begun }: Held, request: unknown, reply: unknown): void {
  begun.resolve({ request: request as FastifyRequest, reply: reply as FastifyReply })
}

for (const [style, written] of Object.entries(styles)) {
  for (const name of ['preSerialization', 'onSend', 'onError'] as const) {
    for (const handlerStyle of ['async', 'callback'] as const) {
      t.test(`${name} hook (${style}) of a reply (${handlerStyle}) whose client has hung up counts until it has settled`, async t => {
        const hook = hold()
        const payload = (): unknown => name === 'onError' ? new Error('failed') : { some: 'payload' }
        const site = await openSite(t, app => {
          app.get('/', { [name]: withLength(written(hook), 4, style) }, handlerStyle === 'async'
            ? async (_request, reply) => reply.send(payload())
            : (_request, reply) => { reply.send(payload()) })
        })
        await askAndHangUp(t, site, hook)
        await turns()
        t.equal(site.inFlight(), 1)
        hook.end.resolve()
        t.equal(await countAfterAll(site), 0)
      })
    }
  }

  t.test(`an onRequestAbort hook (${style}) counts until it has settled`, async t => {
    const hook = hold()
    const handler = hold()
    const site = await openSite(t, app => {
      app.addHook('onRequestAbort', withLength(written(hook), 2, style) as onRequestAbortHookHandler)
      app.get('/', async (request, reply) => {
        begin(handler, request, reply)
        await handler.end.promise
        return 'done'
      })
    })
    await askAndHangUp(t, site, handler)
    await hook.begun.promise
    handler.end.resolve()
    await turns()
    t.equal(site.inFlight(), 1)
    hook.end.resolve()
    t.equal(await countAfterAll(site), 0)
  })

  t.test(`a hook (${style}) counts until it has settled, though nothing is found and the client has hung up`, async t => {
    const hook = hold()
    const site = await openSite(t, app => app.addHook('preHandler', withLength(written(hook), 3, style) as preHandlerHookHandler))
    await askAndHangUp(t, site, hook)
    await turns()
    t.equal(site.inFlight(), 1)
    hook.end.resolve()
    t.equal(await countAfterAll(site), 0)
  })
}

t.test('an async hook that replies and goes on counts until it has settled', async t => {
  const hook = hold()
  const site = await openSite(t, app => app.get('/', {
    preHandler: async (request, reply) => {
      reply.code(403).send('no')
      begin(hook, request, reply)
      await hook.end.promise
      return reply
    }
  }, () => t.fail('the handler ran')))
  t.equal((await ask(site.port, '/')).status, 403)
  await turn()
  t.equal(site.inFlight(), 1)
  hook.end.resolve()
  t.equal(await countAfterAll(site), 0)
})

t.test('so does one of the handler for what is not found', async t => {
  const hook = hold()
  const site = await openSite(t, app => app.setNotFoundHandler({
    preHandler: async (request: FastifyRequest, reply: FastifyReply) => {
      reply.code(410).send('gone')
      begin(hook, request, reply)
      await hook.end.promise
      return reply
    }
  }, () => t.fail('the handler ran')))
  t.equal((await ask(site.port, '/')).status, 410)
  await turns()
  t.equal(site.inFlight(), 1)
  hook.end.resolve()
  t.equal(await countAfterAll(site), 0)
})

t.test('an aborted request counts from one hook to the next', async t => {
  const [first, second] = [hold(), hold()]
  const site = await openSite(t, app => {
    for (const hook of [first, second]) app.addHook('onSend', styles.async!(hook) as preHandlerHookHandler)
    app.get('/', async () => 'done')
  })
  await askAndHangUp(t, site, first)
  first.end.resolve()
  await second.begun.promise
  await turns()
  t.equal(site.inFlight(), 1)
  second.end.resolve()
  t.equal(await countAfterAll(site), 0)
})

t.test('an onRequestAbort hook of a reply that was being sent counts until it has settled', async t => {
  const hook = hold()
  const handler = hold()
  const site = await openSite(t, app => {
    app.addHook('onRequestAbort', async request => {
      begin(hook, request, undefined)
      await hook.end.promise
    })
    app.get('/', (request, reply) => {
      reply.send(new Readable({ read () {} }))
      begin(handler, request, reply)
    })
  })
  await askAndHangUp(t, site, handler)
  await hook.begun.promise
  await turns()
  t.equal(site.inFlight(), 1)
  hook.end.resolve()
  t.equal(await countAfterAll(site), 0)
})

for (const [name, hook] of [
  ['onResponse', async (_request: unknown, _reply: unknown, _done: unknown) => {}],
  ['onSend', async (_request: unknown, _reply: unknown, _payload: unknown, _done: unknown) => {}],
  ['onRequestAbort', async () => {}]
] as const) {
  t.test(`a hook that Fastify rejects is rejected: ${name}`, async t => {
    await openApp(t, app => {
      t.throws(() => app.addHook(name as 'onRequest', hook as preHandlerHookHandler), { code: /^FST_ERR_HOOK_/ })
    })
  })
}

/** As if it had named its arguments: an async one has no callback. */
function withLength (hook: (...args: unknown[]) => unknown, length: number, style: string): (...args: unknown[]) => unknown {
  return Object.defineProperty(hook, 'length', { value: style === 'async' ? length - 1 : length })
}
