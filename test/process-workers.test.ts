// Workers that crash, exit or hang: they fail what they were serving and nothing else.

import { execFileSync } from 'node:child_process'
import { chownSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { call } from './helpers/call.ts'
import { Gate, fixture, newFolder, type Scope } from './helpers/places.ts'
import { ServiceProcess, startService } from './helpers/service.ts'

const NOBODY = 65534

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

t.test('what an application posts to its parentPort goes nowhere', async t => {
  const { service, gate } = await start(t)
  const held = service.get('/hold')
  await service.line('app-holding')
  t.equal((await service.get('/post')).status, 200)
  // It has been heard by the time a second answer came.
  t.equal((await service.get('/post')).status, 200)
  service.send('SIGUSR1')
  t.match(await service.line('maintenance-entered'), { inFlight: 1 })
  t.equal((await service.get()).status, 503)
  t.same(service.linesOf('maintenance-drained'), [])
  t.same(service.linesOf('worker-died'), [])
  gate.open()
  await service.line('maintenance-drained')
  t.equal((await held).status, 200)
})

t.test('a stand-in that is not needed any more when it has loaded refuses nobody', async t => {
  const { service, gate } = await start(t)
  const socket = join(service.folder, 'run/control.sock')
  const blocked = service.get('/block')
  await service.line('app-blocking')
  for (let silentMs = 0; silentMs < 1_000;) {
    const { json } = await call(socket, 'GET', '/v1/status')
    ;[{ silentMs }] = json?.workers as [{ silentMs: number }]
  }
  await call(socket, 'PUT', '/v1/maintenance', {})
  t.match(await call(socket, 'DELETE', '/v1/maintenance'), { status: 200, json: { mode: 'live' } })
  const answers = Array.from({ length: 10 }, async () => (await service.get()).status)
  // Until the stand-in is gone.
  for (let workers = 2; workers > 1;) {
    const { json } = await call(socket, 'GET', '/v1/status')
    workers = (json?.workers as unknown[]).length
  }
  gate.open()
  t.same(await Promise.all(answers), answers.map(() => 200))
  t.equal((await blocked).status, 200)
})

t.test('where no thread can be made the process stays in maintenance, and tries again', {
  skip: process.getuid?.() !== 0 && 'only root may become somebody whose threads are limited'
}, async t => {
  const gate = new Gate(t)
  const folder = newFolder(t)
  for (const each of [dirname(gate.path), folder, join(folder, 'state'), join(folder, 'run'), join(folder, 'cache')]) {
    mkdirSync(each, { recursive: true })
    chownSync(each, NOBODY, NOBODY)
  }
  const asNobody = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups']
  const service = new ServiceProcess(t, {
    folder,
    through: ['setpriv', ...asNobody],
    env: { APP: fixture('application.ts'), GATE: gate.path, CACHE_DIRECTORY: join(folder, 'cache') }
  })
  await service.line('serving')
  const crash = service.get('/crash-later').catch(() => 'failed')
  await service.line('app-holding')
  service.send('SIGUSR1')
  await service.line('maintenance-entered')
  const limitThreads = (most: number): unknown =>
    execFileSync('setpriv', [...asNobody, 'prlimit', `--pid=${service.pid}`, `--nproc=${most}:`])
  // It has all that it may have.
  limitThreads(1)
  gate.open()
  await service.line('worker-died', { role: 'stand-in' })
  t.match(await service.line('worker-died', { role: 'application', retryMs: 1000 }), { err: { message: 'EAGAIN' } })
  t.equal(await crash, 'failed')
  limitThreads(1_000)
  await service.line('worker-serving', { role: 'application' })
  t.equal((await service.get()).status, 503)
})

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
