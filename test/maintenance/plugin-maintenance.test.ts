import { setImmediate as turn } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { ServiceError, type ErrorCode } from '../../src/errors.ts'
import { allocateSwitch, Switch } from '../../src/maintenance/switch.ts'
import { ask, Connection, openApp, openSite, until } from '../helpers/http.ts'

const hello = (app: FastifyInstance): unknown => app.get('/', async () => 'hello')

t.test('in flight is what is in flight here, not in other workers', async t => {
  const memory = allocateSwitch(2)
  const [one, other] = await Promise.all([0, 1].map(worker =>
    openApp(t, hello, { maintenance: { shared: { memory, worker } } })))
  one?.maintenance.begin('report')
  t.equal(one?.maintenance.inFlight(), 1)
  t.equal(other?.maintenance.inFlight(), 0)
  t.equal(new Switch(memory).inFlight('live'), 1)
})

t.test('the mode of a shared switch is its operator\'s to set', async t => {
  const memory = allocateSwitch(1)
  const app = await openApp(t, hello, { maintenance: { shared: { memory, worker: 0 } } })
  t.throws(() => app.maintenance.set('maintenance'), { code: 'ERR_NOT_OURS' satisfies ErrorCode })
  t.equal(app.maintenance.mode, 'live')
  new Switch(memory).mode = 'read-only'
  t.equal(app.maintenance.mode, 'read-only')
})

t.test('work that is begun counts until it is ended, once', async t => {
  const app = await openApp(t)
  const endOne = app.maintenance.begin('one')
  const endOther = app.maintenance.begin('other')
  t.equal(app.maintenance.inFlight(), 2)
  endOne()
  endOne()
  t.equal(app.maintenance.inFlight(), 1)
  endOther()
  t.equal(app.maintenance.inFlight(), 0)
})

t.test('work counts as unsafe: read-only waits for it', async t => {
  const app = await openApp(t)
  app.maintenance.begin('report')
  t.equal(app.maintenance.inFlight('read-only'), 1)
})

for (const mode of ['read-only', 'maintenance'] as const) {
  t.test(`${mode} refuses work, by name`, async t => {
    const app = await openApp(t)
    app.maintenance.set(mode)
    t.throws(() => app.maintenance.begin('nightly report'), new ServiceError('ERR_REFUSED',
      `"nightly report" was not begun: the mode is ${mode}`))
    t.equal(app.maintenance.inFlight('live'), 0)
  })
}

t.test('drained waits for requests and work', async t => {
  const handler = Promise.withResolvers<void>()
  const begun = Promise.withResolvers<void>()
  const site = await openSite(t, app => app.get('/', async () => {
    begun.resolve()
    await handler.promise
    return 'done'
  }))
  const { maintenance } = site.app
  const endWork = maintenance.begin('report')
  const answer = ask(site.port, '/')
  await begun.promise
  maintenance.set('maintenance')
  let isDrained = false
  const drained = maintenance.drained().then(() => { isDrained = true })
  handler.resolve()
  t.equal((await answer).status, 200)
  await until(() => maintenance.inFlight() === 1)
  for (let i = 0; i < 20; i++) await turn()
  t.notOk(isDrained)
  endWork()
  await drained
  t.equal(maintenance.inFlight(), 0)
})

t.test('drained has nothing to wait for when nothing is in flight', async t => {
  const app = await openApp(t)
  app.maintenance.set('maintenance')
  await app.maintenance.drained()
})

t.test('in read-only, drained does not wait for what is safe', async t => {
  const begun = Promise.withResolvers<void>()
  const site = await openSite(t, app => app.get('/', () => { begun.resolve() }))
  const client = await Connection.open(t, site.port)
  client.ask('GET /')
  await begun.promise
  site.app.maintenance.set('read-only')
  await site.app.maintenance.drained()
  t.equal(site.inFlight(), 1)
})

t.test('who waits for drained is let go when the mode is live again', async t => {
  const app = await openApp(t)
  app.maintenance.begin('report')
  app.maintenance.set('maintenance')
  const drained = app.maintenance.drained()
  app.maintenance.set('live')
  await drained
  t.equal(app.maintenance.inFlight(), 1)
})

t.test('the page does not depend on what an application has Fastify do before any hook', async t => {
  let asked = 0
  const site = await openSite(t, app => {
    app.addConstraintStrategy({
      name: 'tenant',
      storage: () => {
        const stores = new Map<unknown, unknown>()
        return { get: (key: unknown) => stores.get(key) as never, set: (key: unknown, store: unknown) => { stores.set(key, store) } }
      },
      mustMatchWhenDerived: false,
      validate: () => {},
      // Its database is away.
      deriveConstraint: () => { asked++ }
    } as Parameters<FastifyInstance['addConstraintStrategy']>[0])
    app.setGenReqId(() => { throw new Error('no identity') })
    app.get('/', { constraints: { tenant: 'one' } }, async () => 'hello')
  })
  site.app.maintenance.set('maintenance')
  t.equal((await ask(site.port, '/')).status, 503)
  t.equal(asked, 0)
})

t.test('a new notice is what is told from then on', async t => {
  const app = await openApp(t, hello)
  app.maintenance.set('maintenance')
  app.maintenance.setNotice({ page: Buffer.from('<p>new'), retryAfterSeconds: 7 })
  const { headers, body } = await app.inject('/')
  t.equal(body, '<p>new')
  t.equal(headers['retry-after'], '7')
})

t.test('two apps in one process have switches of their own', async t => {
  const [one, other] = await Promise.all([openApp(t, hello), openApp(t, hello)])
  one.maintenance.set('maintenance')
  t.equal((await one.inject('/')).statusCode, 503)
  t.equal((await other.inject('/')).statusCode, 200)
})
