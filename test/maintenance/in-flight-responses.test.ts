import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { hold } from '../helpers/held.ts'
import { ask, countAfterAll, openSite } from '../helpers/http.ts'

t.test('an async onResponse hook counts until it has settled', async t => {
  const hook = hold()
  const site = await openSite(t, app => {
    app.addHook('onResponse', async (request, reply) => {
      hook.begun.resolve({ request, reply })
      await hook.end.promise
    })
    app.get('/', async () => 'done')
  })
  t.equal((await ask(site.port, '/')).status, 200)
  await hook.begun.promise
  await turn()
  t.equal(site.inFlight(), 1)
  hook.end.resolve()
  t.equal(await countAfterAll(site), 0)
})

t.test('an onResponse hook with a callback counts until it has called back', async t => {
  const hook = hold()
  const site = await openSite(t, app => {
    app.addHook('onResponse', (request, reply, done) => {
      hook.begun.resolve({ request, reply })
      hook.end.promise.then(() => done())
    })
    app.get('/', async () => 'done')
  })
  await ask(site.port, '/')
  await hook.begun.promise
  await turn()
  t.equal(site.inFlight(), 1)
  hook.end.resolve()
  t.equal(await countAfterAll(site), 0)
})

t.test("a route's own onResponse hooks, and those of a plugin, count too", async t => {
  const own = hold()
  const ofPlugin = hold()
  const site = await openSite(t, app => {
    app.register(async plugin => {
      plugin.addHook('onResponse', async (request, reply) => {
        ofPlugin.begun.resolve({ request, reply })
        await ofPlugin.end.promise
      })
      plugin.get('/', {
        onResponse: async (request, reply) => {
          own.begun.resolve({ request, reply })
          await own.end.promise
        }
      }, async () => 'done')
    })
  })
  await ask(site.port, '/')
  await ofPlugin.begun.promise
  ofPlugin.end.resolve()
  await own.begun.promise
  await turn()
  t.equal(site.inFlight(), 1)
  own.end.resolve()
  t.equal(await countAfterAll(site), 0)
})

t.test('an onResponse hook that fails leaves no count', async t => {
  const site = await openSite(t, app => {
    app.addHook('onResponse', async () => { throw new Error('failed') })
    app.get('/', async () => 'done')
  })
  await ask(site.port, '/')
  t.equal(await countAfterAll(site), 0)
})
