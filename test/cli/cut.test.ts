// on --cut: closes connections at the timeout, and only then.

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

async function start (t: Scope): Promise<{ service: ServiceProcess, gate: Gate }> {
  const gate = new Gate(t)
  return { gate, service: await startService(t, { env: { APP, GATE: gate.path } }) }
}

function get (t: Scope, service: ServiceProcess, path: string): ClientRequest {
  const call = request({ host: '127.0.0.1', port: service.port, path, agent: false })
  call.on('error', () => {}).end()
  t.teardown(() => call.destroy())
  return call
}

t.test('it closes connections at the timeout, and what their handlers do goes on and counts', async t => {
  const { service, gate } = await start(t)
  const call = get(t, service, '/hold')
  const cut = new Promise(resolve => call.once('close', resolve))
  await service.line('app-holding')
  const socket = new WebSocket(`ws://127.0.0.1:${service.port}/chat`)
  await once(socket, 'message')
  const closed = once(socket, 'close')
  const { code, err } = await ctl(t, service, 'on', '--wait=500ms', '--cut')
  t.equal(code, 1)
  t.match(err, /^myserverctl on: not drained in time; maintenance stays on, 2 in flight\n {2}GET \/hold, .*\n {2}UPGRADE \/chat, .*\ncut 2 connections; what their handlers do goes on: myserverctl wait --drained\n$/)
  await Promise.all([cut, closed])
  t.match(await service.line('connections-cut'), { level: 40, cut: 2, by: /, pid \d+$/ })
  const waiting = new Ctl(t, ['wait', '--drained'], service)
  await waiting.says(/^1 in flight\n {2}GET \/hold, \d+\.\d s \(worker 0, its client has gone\)\n/m)
  gate.open()
  t.equal((await waiting.ended).code, 0)
})

t.test('one connection is one connection', async t => {
  const { service } = await start(t)
  get(t, service, '/hold')
  await service.line('app-holding')
  t.match((await ctl(t, service, 'on', '--wait=300ms', '--cut')).err, /\ncut 1 connection; what its handler does goes on: /)
})

for (const [what, leave, reason] of [
  ['whose claim is ended by somebody else', ['off', '--holder', 'mine'], /^myserverctl on: the claim of mine was ended while this waited; others hold maintenance\n$/],
  ['that is ended by somebody who opens', ['off'], /^myserverctl on: maintenance was left while this waited: the service is live\n$/]
] as const) {
  t.test(`a wait ${what} cuts nothing, and says why it ended`, async t => {
    const { service, gate } = await start(t)
    const held = service.get('/hold')
    await service.line('app-holding')
    await ctl(t, service, 'on', '--holder', 'other')
    const waiting = new Ctl(t, ['on', '--holder', 'mine', '--wait=10m', '--cut'], service)
    await waiting.says(/^ {2}GET \/hold, /m)
    await ctl(t, service, ...leave)
    t.match(await waiting.ended, { code: 1, err: reason })
    t.same(service.linesOf('connections-cut'), [])
    gate.open()
    t.equal((await held).status, 200)
  })
}

t.test('a worker that has only just hung is named, and what it has is cut when it can be', async t => {
  const { service, gate } = await start(t)
  const call = get(t, service, '/block')
  const ended = new Promise(resolve => call.once('close', resolve))
  await service.line('app-blocking')
  const { code, err } = await ctl(t, service, 'on', '--wait=100ms', '--cut')
  t.equal(code, 1)
  t.match(err, /, 1 in flight\n {2}worker 0 has not answered for \d\.\d s \(1 in flight\)\ncut 0 connections; .*\nworker 0 does not answer, and cuts its connections as soon as it does\n$/)
  t.match(await statusOf(t, service), { stragglers: [{ worker: 0, inFlight: 1 }] })
  gate.open()
  await ended
})
