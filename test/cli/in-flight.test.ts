// Whatever can be in flight: it is named, and not called drained before it is over.

import { request, type ClientRequest } from 'node:http'
import { once } from 'node:events'
import { join } from 'node:path'
import t from 'tap'
import { WebSocket } from 'ws'
import { Gate, type Scope } from '../helpers/places.ts'
import { startService, type ServiceProcess } from '../helpers/service.ts'
import { ctl, Ctl, statusOf } from './ctl.ts'

t.setTimeout(120_000)

const APP = join(import.meta.dirname, 'application.ts')

async function start (t: Scope, env = {}): Promise<{ service: ServiceProcess, gate: Gate }> {
  const gate = new Gate(t)
  return { gate, service: await startService(t, { env: { APP, GATE: gate.path, ...env } }) }
}

function get (t: Scope, service: ServiceProcess, path: string): ClientRequest {
  const call = request({ host: '127.0.0.1', port: service.port, path, agent: false })
  call.on('error', () => {}).end()
  t.teardown(() => call.destroy())
  return call
}

/** Enters, and waits until `on --wait` has named what is in flight: it is not drained then. */
async function waitFor (t: Scope, service: ServiceProcess, name: RegExp): Promise<Ctl> {
  const waiting = new Ctl(t, ['on', '--wait'], service)
  await waiting.says(name)
  const { drained, inFlight, mode } = await statusOf(t, service)
  if (drained || inFlight === 0 || mode !== 'maintenance') throw new Error(`it is called ${drained ? 'drained' : `${mode}, ${inFlight} in flight`}`)
  if (service.linesOf('maintenance-drained').length > 0) throw new Error('it was told as drained')
  return waiting
}

t.test('a request whose client has gone, while its handler runs on', async t => {
  const { service, gate } = await start(t)
  const call = get(t, service, '/hold')
  await service.line('app-holding')
  call.destroy()
  const waiting = await waitFor(t, service, /^ {2}GET \/hold, \d+\.\d s \(worker 0, its client has gone\)$/m)
  gate.open()
  t.equal((await waiting.ended).code, 0)
  t.equal(service.linesOf('app-released').length, 1)
})

t.test('a WebSocket', async t => {
  const { service } = await start(t)
  const socket = new WebSocket(`ws://127.0.0.1:${service.port}/chat?token=secret`)
  await once(socket, 'message')
  const waiting = await waitFor(t, service, /^ {2}UPGRADE \/chat, \d+\.\d s \(worker 0\)$/m)
  t.notMatch(waiting.out, /secret/)
  socket.close()
  t.equal((await waiting.ended).code, 0)
})

t.test('a stream of server-sent events', async t => {
  const { service } = await start(t)
  const call = get(t, service, '/stream/prices?token=secret')
  const [response] = await once(call, 'response')
  await once(response, 'data')
  const waiting = await waitFor(t, service, /^ {2}GET \/stream\/:topic, \d+\.\d s \(worker 0\)$/m)
  t.notMatch(waiting.out, /secret/)
  call.destroy()
  t.equal((await waiting.ended).code, 0)
})

t.test('work that the application has begun', async t => {
  const { service, gate } = await start(t)
  t.equal((await service.get('/job')).body, 'begun')
  const waiting = await waitFor(t, service, /^ {2}nightly report, \d+\.\d s \(worker 0\)$/m)
  gate.open()
  t.equal((await waiting.ended).code, 0)
})

t.test('a worker that blocks its thread is named, with how long it has not answered, and what it holds counts', async t => {
  const { service, gate } = await start(t)
  get(t, service, '/block')
  await service.line('app-blocking')
  const waiting = await waitFor(t, service, /^ {2}worker 0 has not answered for \d+\.\d s \(1 in flight\)$/m)
  // In a worker that hangs for so long the service sees one that is stuck; its page is served by the stand-in.
  await service.line('worker-stuck')
  await service.line('worker-serving', { role: 'stand-in' })
  t.equal((await service.get()).status, 503)
  t.match((await ctl(t, service, 'status')).out, /^ {2}worker 0 has not answered for \d+\.\d s \(1 in flight\)\nworker 0 stuck, stand-in serving; version/m)
  t.same(service.linesOf('maintenance-drained'), [])
  gate.open()
  t.equal((await waiting.ended).code, 0)
  await service.line('worker-recovered')
})

t.test('several workers, one of which blocks: what is in flight in the others is named all the same', async t => {
  const { service, gate } = await start(t, { WORKERS: '2' })
  get(t, service, '/block')
  await service.line('app-blocking')
  // Which worker takes a connection is the kernel's choice; one that hangs takes what it cannot answer.
  const calls = Array.from({ length: 8 }, () => get(t, service, '/hold'))
  await service.line('app-holding')
  const waiting = await waitFor(t, service, /^ {2}GET \/hold, \d+\.\d s \(worker \d\)$/m)
  await waiting.says(/^ {2}worker \d has not answered for \d+\.\d s/m)
  gate.open()
  t.equal((await waiting.ended).code, 0)
  t.equal(calls.length, 8)
})

t.test('more than are named', async t => {
  const { service, gate } = await start(t)
  for (let i = 0; i < 23; i++) get(t, service, '/hold')
  await service.linesUntil('app-holding', 23)
  const waiting = await waitFor(t, service, /^23 in flight\n( {2}GET \/hold, .*\n){20} {2}and 3 more$/m)
  t.match((await ctl(t, service, 'status')).out, /, 23 in flight, .*\n.*\n( {2}GET \/hold, .*\n){20} {2}and 3 more\nworker 0/)
  gate.open()
  t.equal((await waiting.ended).code, 0)
})

t.test('an application that does not put away what it holds', async t => {
  const { service, gate } = await start(t, { HOOKS: 'gate' })
  const why = 'the application is still putting away what it holds'
  const { code, err } = await ctl(t, service, 'on', '--wait=300ms')
  t.equal(code, 1)
  t.equal(err, `myserverctl on: not drained in time; maintenance stays on, 0 in flight, ${why}\n`)
  t.match((await ctl(t, service, 'status')).out, `, 0 in flight, ${why}, 0 requests refused\n`)
  gate.open()
  t.equal((await ctl(t, service, 'wait', '--drained')).code, 0)
})
