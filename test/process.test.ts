// The service as a whole process: what it serves, and where.

import { once } from 'node:events'
import { readFileSync, statSync } from 'node:fs'
import { request } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import WebSocket from 'ws'
import { Gate, fixture, newFolder } from './helpers/places.ts'
import { ServiceProcess, startService } from './helpers/service.ts'

t.setTimeout(120_000)
t.jobs = 3

const isLinux = process.platform === 'linux'
const APP = fixture('application.ts')

t.test('it serves the site, and bears the name that pkill looks for', async t => {
  const service = await startService(t)
  t.match(await service.get(), { status: 200, headers: { 'content-type': /html/ } })
  if (isLinux) t.equal(readFileSync(`/proc/${service.pid}/comm`, 'utf8'), 'myserver\n')
})

t.test('it serves the application that APP names', async t => {
  const service = await startService(t, { env: { APP } })
  t.match(await service.get(), { status: 200, body: 'the application\n' })
})

t.test('each request is one line, an aborted one too, a refused one none', async t => {
  const gate = new Gate(t)
  const service = await startService(t, { env: { APP, GATE: gate.path } })
  await service.get('/?one')
  await service.get('/none')
  const aborted = request({ host: '127.0.0.1', port: service.port, path: '/hold', agent: false })
  aborted.on('error', () => {}).end()
  await service.line('app-holding')
  aborted.destroy()
  await service.until('the abort', () => service.lines.find(({ msg }) => msg === 'request aborted'))
  gate.open()
  await service.line('app-released')
  service.child.kill('SIGUSR1')
  await service.line('maintenance-drained')
  await service.get('/refused')
  service.child.kill('SIGTERM')
  await service.ended
  t.match(service.lines.filter(({ event }) => event === 'request'), [
    { method: 'GET', url: '/?one', status: 200, ms: Number, ip: '127.0.0.1', worker: 0, level: 30 },
    { url: '/none', status: 404 },
    { url: '/hold', msg: 'request aborted' }
  ])
  t.equal(service.lines.filter(({ event }) => event === 'request').length, 3)
})

t.test('every connection of two workers sees the switch', async t => {
  const service = await startService(t, { env: { APP, WORKERS: '2' } })
  await service.linesUntil('worker-serving', 2)
  service.send('SIGUSR1')
  await service.line('maintenance-entered')
  const answers = await Promise.all(Array.from({ length: 40 }, async () => await service.get()))
  t.same(new Set(answers.map(({ status }) => status)), new Set([503]))
  await service.leave()
  t.match(await service.line('maintenance-left'), { refused: 40 })
  const live = await Promise.all(Array.from({ length: 40 }, async () => await service.get()))
  t.same(new Set(live.map(({ status }) => status)), new Set([200]))
})

t.test('a WebSocket counts as in flight until it is closed', async t => {
  const service = await startService(t, { env: { APP } })
  const client = new WebSocket(`ws://127.0.0.1:${service.port}/`)
  await once(client, 'message')
  service.send('SIGUSR1')
  t.match(await service.line('maintenance-entered'), { inFlight: 1 })
  t.same(service.linesOf('maintenance-drained'), [])
  client.close()
  await service.line('maintenance-drained')
  const refused = new WebSocket(`ws://127.0.0.1:${service.port}/`)
  const [error] = await once(refused, 'error')
  t.match(error.message, /503/)
})

t.test('it serves on a Unix socket, and starts again over the one that a crash left', async t => {
  const path = join(newFolder(t), 'http.sock')
  const env = { HOST: undefined, PORT: undefined, LISTEN: path }
  const service = await startService(t, { env })
  t.equal((await service.get('/', {}, path)).status, 200)
  t.equal(statSync(path).mode & 0o777, 0o666)
  service.send('SIGKILL')
  await service.ended
  const again = await startService(t, { env, folder: service.folder })
  t.equal((await again.get('/', {}, path)).status, 200)
})

t.test('a port that is taken ends the process with 1 and says what to do', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const service = new ServiceProcess(t, { env: { PORT: String(port) } })
  t.match(await service.ended, { code: 1 })
  t.match(service.stderr, new RegExp(`^myserver: cannot listen on http://127.0.0.1:${port}: another process listens there`))
})

t.test('an inherited socket is taken over: no connection is refused meanwhile', {
  skip: !isLinux && 'only systemd hands over sockets'
}, async t => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const { fd } = (server as unknown as { _handle: { fd: number } })._handle
  const service = new ServiceProcess(t, {
    // The process's own id stands in a variable, so something has to be run in its place first.
    through: ['sh', '-c', 'LISTEN_PID=$$ exec "$@"', 'sh'],
    env: { PORT: String(port), LISTEN_FDS: '1', LISTEN_FDNAMES: 'listen' },
    stdio: ['ignore', 'pipe', 'pipe', fd]
  })
  await once(service.child, 'spawn')
  server.close()
  t.match(await service.line('serving'), { inherited: true, port })
  t.equal((await service.get()).status, 200)
})
