// Error handlers: they may go on after their reply, or have nobody left to reply to.

import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { askAndHangUp, hold, type Held } from '../helpers/held.ts'
import { ask, countAfterAll, openSite, until } from '../helpers/http.ts'

/** A handler that fails when it is let. */
function failing (handler: Held): (app: FastifyInstance) => void {
  return app => app.get('/', async (request, reply) => {
    handler.begun.resolve({ request, reply })
    await handler.end.promise
    throw new Error('failed')
  })
}

t.test('an error handler that returns nothing, since its client has hung up, leaves no count', async t => {
  const handler = hold()
  const site = await openSite(t, app => {
    app.setErrorHandler(async () => {})
    failing(handler)(app)
  })
  await askAndHangUp(t, site, handler)
  handler.end.resolve()
  t.equal(await countAfterAll(site), 0)
})

t.test('an error handler whose client has hung up counts until it has settled', async t => {
  const [handler, errorHandler] = [hold(), hold()]
  const site = await openSite(t, app => {
    app.setErrorHandler(async (_error, request, reply) => {
      errorHandler.begun.resolve({ request, reply })
      await errorHandler.end.promise
    })
    failing(handler)(app)
  })
  await askAndHangUp(t, site, handler)
  handler.end.resolve()
  await errorHandler.begun.promise
  t.equal(site.inFlight(), 1)
  errorHandler.end.resolve()
  t.equal(await countAfterAll(site), 0)
})

for (const where of ['app', 'route', 'nested app'] as const) {
  t.test(`an error handler of the ${where} that goes on after its reply counts until it has settled`, async t => {
    const errorHandler = hold()
    const site = await openSite(t, async app => {
      const handle: Parameters<FastifyInstance['setErrorHandler']>[0] = async (_error, request, reply) => {
        reply.code(500).send('failed')
        errorHandler.begun.resolve({ request, reply })
        await errorHandler.end.promise
      }
      const fail = async (): Promise<void> => { throw new Error('failed') }
      if (where === 'app') app.setErrorHandler(handle).get('/', fail)
      else if (where === 'route') app.get('/', { errorHandler: handle }, fail)
      else await app.register(async nested => { nested.setErrorHandler(handle).get('/', fail) })
    })
    t.equal((await ask(site.port, '/')).status, 500)
    const { reply } = await errorHandler.begun.promise
    await until(() => reply.raw.destroyed)
    t.equal(site.inFlight(), 1)
    errorHandler.end.resolve()
    t.equal(await countAfterAll(site), 0)
  })
}
