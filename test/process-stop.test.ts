// How the process ends: by itself, with all that was running finished, or cut off when the grace is over.

import { once } from 'node:events'
import t from 'tap'
import WebSocket from 'ws'
import { Gate, fixture, type Scope } from './helpers/places.ts'
import { startService, type ServiceOptions, type ServiceProcess } from './helpers/service.ts'

t.setTimeout(120_000)
t.jobs = 3

async function startHolding (
  t: Scope, env: ServiceOptions['env'] = {}
): Promise<{ service: ServiceProcess, gate: Gate, held: Promise<number> }> {
  const gate = new Gate(t)
  const service = await startService(t, { env: { APP: fixture('application.ts'), GATE: gate.path, ...env } })
  const held = service.get('/hold').then(({ status }) => status, () => 0)
  await service.line('app-holding')
  return { service, gate, held }
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(`${signal} finishes a slow request, and the process ends with 0`, async t => {
    const { service, gate, held } = await startHolding(t)
    service.send(signal)
    t.match(await service.line('stopping'), { inFlight: 1 })
    gate.open()
    t.equal(await held, 200)
    t.same(await service.ended, { code: 0, signal: null })
    t.equal(service.linesOf('stopped').length, 1)
  })
}

t.test('a second SIGTERM ends the process at once', async t => {
  const { service, held } = await startHolding(t)
  service.send('SIGTERM')
  await service.line('stopping')
  service.send('SIGTERM')
  t.match(await service.ended, { signal: null, code: 1 })
  t.match(service.linesOf('stopped'), [{ msg: /at once/ }])
  t.equal(await held, 0)
})

t.test('what is not over when the grace ends is cut off, and the process ends with 0', async t => {
  const { service, held } = await startHolding(t, { SHUTDOWN_GRACE: '1s' })
  service.send('SIGTERM')
  t.same(await service.ended, { code: 0, signal: null })
  t.equal(await held, 0)
  t.match(service.linesOf('stopped'), [{ msg: 'stopped' }])
})

t.test('a WebSocket that stays open does not outlast the grace', async t => {
  const service = await startService(t, { env: { APP: fixture('application.ts'), SHUTDOWN_GRACE: '1s' } })
  const client = new WebSocket(`ws://127.0.0.1:${service.port}/`)
  await once(client, 'message')
  service.send('SIGTERM')
  await once(client, 'close')
  t.same(await service.ended, { code: 0, signal: null })
})

t.test('a blocked worker does not outlast the grace', async t => {
  const gate = new Gate(t)
  const service = await startService(t, {
    env: { APP: fixture('application.ts'), GATE: gate.path, SHUTDOWN_GRACE: '1s' }
  })
  const blocked = service.get('/block').catch(() => 'cut off')
  await service.line('app-blocking')
  service.send('SIGTERM')
  t.same(await service.ended, { code: 0, signal: null })
  t.equal(await blocked, 'cut off')
})

t.test('after SIGTERM nothing new is accepted', async t => {
  const { service, gate } = await startHolding(t)
  service.send('SIGTERM')
  await service.line('stopping')
  gate.open()
  await service.ended
  await t.rejects(service.get(), { code: 'ECONNREFUSED' })
})

t.test('SIGUSR1 while stopping is recorded: the next start is in maintenance', async t => {
  const { service, gate } = await startHolding(t)
  service.send('SIGTERM')
  await service.line('stopping')
  service.send('SIGUSR1')
  await service.line('maintenance-entered')
  gate.open()
  t.same(await service.ended, { code: 0, signal: null })
  const next = await startService(t, { folder: service.folder })
  t.equal((await next.get()).status, 503)
})

t.test('SIGUSR2 while stopping is refused and says so: the next start is in maintenance', async t => {
  const { service, gate } = await startHolding(t)
  service.send('SIGUSR1')
  await service.line('maintenance-entered')
  service.send('SIGTERM')
  await service.line('stopping')
  await service.leave()
  t.match(await service.line('leave-refused'), { by: 'SIGUSR2', reason: /stopping/ })
  gate.open()
  t.same(await service.ended, { code: 0, signal: null })
  t.equal(service.record.mode, 'maintenance')
})

t.test('SIGTERM in maintenance ends the process with 0, and the next start serves the page', async t => {
  const service = await startService(t)
  service.send('SIGUSR1')
  await service.line('maintenance-drained')
  service.send('SIGTERM')
  t.same(await service.ended, { code: 0, signal: null })
  const next = await startService(t, { folder: service.folder })
  t.equal((await next.get()).status, 503)
})

t.test('kill -9 in maintenance loses nothing: the next start serves the page', async t => {
  const service = await startService(t)
  service.send('SIGUSR1')
  await service.line('maintenance-entered')
  service.send('SIGKILL')
  t.same(await service.ended, { code: null, signal: 'SIGKILL' })
  const next = await startService(t, { folder: service.folder })
  t.equal((await next.get()).status, 503)
})

t.test('refused requests are summed up when the service stops', async t => {
  const service = await startService(t)
  service.send('SIGUSR1')
  await service.line('maintenance-drained')
  for (let i = 0; i < 3; i++) await service.get(`/${i}`)
  service.send('SIGTERM')
  t.match(await service.line('requests-refused'), { level: 30, refused: 3, inAll: 3 })
  await service.ended
  t.equal(service.linesOf('requests-refused').length, 1)
  t.equal(service.lines.filter(({ event }) => event === 'request').length, 0)
})
