// Workers that crash, exit or hang: they fail what they were serving and nothing else.

import t from 'tap'
import { Gate, fixture, type Scope } from './helpers/places.ts'
import { startService, type ServiceProcess } from './helpers/service.ts'

t.setTimeout(120_000)
t.jobs = 3

async function start (
  t: Scope, env: Readonly<Record<string, string>> = {}
): Promise<{ service: ServiceProcess, gate: Gate }> {
  const gate = new Gate(t)
  const service = await startService(t, { env: { APP: fixture('application.ts'), GATE: gate.path, ...env } })
  await service.linesUntil('worker-serving', Number(env.WORKERS ?? 1))
  service.forgetLines()
  return { service, gate }
}

t.test('a worker that crashes fails what it was serving, and is replaced', async t => {
  const { service } = await start(t)
  const held = service.get('/hold').then(() => 'answered', () => 'failed')
  await service.line('app-holding')
  await t.rejects(service.get('/crash'))
  t.match(await service.line('worker-died'), {
    level: 50, worker: 0, role: 'application', inFlight: 2, retryMs: 0, err: { message: 'crashed on request' }
  })
  t.equal(await held, 'failed')
  await service.line('worker-serving', { worker: 0 })
  t.match(await service.get(), { status: 200, body: 'the application\n' })
})

t.test('after a crash the counts are right: entering is drained', async t => {
  const { service } = await start(t)
  const held = service.get('/hold').catch(() => {})
  await service.line('app-holding')
  await t.rejects(service.get('/crash'))
  await service.line('worker-serving')
  await held
  service.send('SIGUSR1')
  t.match(await service.line('maintenance-entered'), { inFlight: 0 })
  await service.line('maintenance-drained')
})

t.test('a crash during a drain ends what was running there, and drained is told', async t => {
  const { service, gate } = await start(t)
  const crash = service.get('/crash-later').then(() => 'answered', () => 'failed')
  await service.line('app-holding')
  service.send('SIGUSR1')
  t.match(await service.line('maintenance-entered'), { inFlight: 1 })
  gate.open()
  await service.line('maintenance-drained')
  t.equal(await crash, 'failed')
  t.equal((await service.get()).status, 503)
})

t.test('a crash leaves what another worker is serving alone', async t => {
  const { service, gate } = await start(t, { WORKERS: '2' })
  const held = await Promise.all(Array.from({ length: 6 }, async (_, i) => {
    const answer = service.get('/hold').then(({ status }) => status, () => 0)
    await service.linesUntil('app-holding', i + 1)
    return { answer }
  }))
  await t.rejects(service.get('/crash'))
  const { inFlight } = await service.line('worker-died')
  await service.line('worker-serving')
  gate.open()
  const statuses = await Promise.all(held.map(async ({ answer }) => await answer))
  t.equal(statuses.filter(status => status === 0).length, Number(inFlight) - 1)
  t.equal(statuses.filter(status => status === 200).length, 6 - (Number(inFlight) - 1))
})

for (const code of [0, 3]) {
  t.test(`process.exit(${code}) in an application ends its worker and not the service`, async t => {
    const { service } = await start(t)
    await t.rejects(service.get(`/exit/${code}`))
    t.match(await service.line('worker-died'), { err: { message: code === 0 ? /process\.exit/ : /exited with code 3/ } })
    await service.line('worker-serving')
    t.equal((await service.get()).status, 200)
  })
}

t.test('a worker that hangs is reported, and told well when it answers again', async t => {
  const { service, gate } = await start(t)
  const blocked = service.get('/block')
  await service.line('app-blocking')
  t.match(await service.line('worker-stuck'), { level: 50, worker: 0, inFlight: 1 })
  gate.open()
  await service.line('worker-recovered', { worker: 0 })
  t.equal((await blocked).status, 200)
  t.same(service.linesOf('worker-died'), [])
})

t.test('a worker that hangs for too long is replaced', async t => {
  const { service } = await start(t, { WORKER_STUCK_TIMEOUT: '5s' })
  const blocked = service.get('/block').then(() => 'answered', () => 'failed')
  await service.line('app-blocking')
  const { silentMs } = await service.line('worker-replaced', { worker: 0, inFlight: 1 })
  t.ok(Number(silentMs) >= 5000, `after ${silentMs} ms`)
  t.equal(await blocked, 'failed')
  await service.line('worker-serving', { worker: 0 })
  t.equal((await service.get()).status, 200)
})

t.test('entering is not delayed by a worker that hangs, and a stand-in serves the page meanwhile', async t => {
  const { service, gate } = await start(t)
  const blocked = service.get('/block')
  await service.line('app-blocking')
  service.send('SIGUSR1')
  t.match(await service.line('maintenance-entered'), { inFlight: 1 })
  t.equal(service.record.mode, 'maintenance')
  await service.line('worker-serving', { role: 'stand-in' })
  t.equal((await service.get()).status, 503)
  t.same(service.linesOf('maintenance-drained'), [], 'what it is at is still running')
  gate.open()
  await service.line('maintenance-drained')
  t.equal((await blocked).status, 200)
})

t.test('leaving waits for a worker that hangs', async t => {
  const { service, gate } = await start(t)
  const blocked = service.get('/block')
  await service.line('app-blocking')
  await service.line('worker-stuck')
  service.send('SIGUSR1')
  await service.line('maintenance-entered')
  await service.leave()
  await service.line('leave-waiting')
  gate.open()
  await service.line('maintenance-left')
  t.equal((await blocked).status, 200)
})

t.test('a crash after maintenance in which the application could not be loaded is one crash', async t => {
  const gate = new Gate(t)
  const service = await startService(t, { record: 'maintenance', env: { APP: fixture('reluctant.ts'), GATE: gate.path } })
  await service.linesUntil('worker-died', 4)
  gate.open()
  await service.leave()
  await service.line('maintenance-left')
  service.forgetLines()
  await t.rejects(service.get('/crash'))
  t.match(await service.line('worker-died'), { retryMs: 0 })
  await service.line('worker-serving', { role: 'application' })
  t.equal((await service.get()).status, 200)
})
