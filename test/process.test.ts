// The service as a whole process: what it serves, where, and how it starts in each state that it may find.

import { once } from 'node:events'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import WebSocket from 'ws'
import { hasLibsystemd, NotifySocket } from './helpers/notify-socket.ts'
import { Gate, fixture, newFolder, ServiceProcess, startService } from './helpers/service.ts'

t.setTimeout(120_000)

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
  service.send('SIGUSR2')
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

t.test('the first start is live and leaves a record', async t => {
  const service = await startService(t)
  t.match(service.record, { version: 1, mode: 'live', by: 'first start' })
})

t.test('a record that cannot be trusted starts maintenance loudly, and SIGUSR2 leaves', async t => {
  const service = await startService(t, { record: Buffer.from('{"version":1,"mo') })
  t.match(await service.line('record-unreadable'), { level: 50, err: { code: 'ERR_RECORD_READ', message: /is not JSON; it was kept as/ } })
  t.equal((await service.get()).status, 503)
  service.send('SIGUSR2')
  await service.line('maintenance-left')
  t.equal((await service.get()).status, 200)
})

t.test('a lost record starts maintenance where a service manager put one there', {
  skip: !hasLibsystemd && 'there is no libsystemd'
}, async t => {
  const notify = new NotifySocket(t)
  const service = await startService(t, { env: { NOTIFY_SOCKET: notify.path } })
  t.match(service.lines, [{ event: 'starting' }, { event: 'record-unreadable' }])
  t.equal((await service.get()).status, 503)
})

t.test('a record that cannot be written does not keep it from entering, and keeps it from leaving', async t => {
  const file = join(newFolder(t), 'file')
  writeFileSync(file, '')
  // A folder below a file can be made by nobody, root included.
  const service = await startService(t, { env: { STATE_DIRECTORY: join(file, 'state') } })
  t.ok(service.linesOf('record-unreadable').length + service.linesOf('record-unwritable').length > 0)
  service.send('SIGUSR1')
  await service.until('what became of SIGUSR1', () => {
    return service.linesOf('maintenance-entered')[0] ?? service.linesOf('maintenance-unchanged')[0]
  })
  t.equal((await service.get()).status, 503)
  service.send('SIGUSR2')
  t.match(await service.line('leave-refused'), { level: 50, reason: /cannot be written/ })
  t.equal((await service.get()).status, 503)
})

t.test('the service manager is told when requests are served, the status, and the stop', {
  skip: !hasLibsystemd && 'there is no libsystemd'
}, async t => {
  const notify = new NotifySocket(t)
  const service = new ServiceProcess(t, { record: 'live', env: { NOTIFY_SOCKET: notify.path } })
  await notify.until(() => notify.received.some(({ READY }) => READY === '1'))
  const { port } = await service.line('serving')
  t.type(port, 'number')
  await notify.until(() => notify.status === 'live')
  service.send('SIGUSR1')
  await notify.until(() => /^maintenance since \d\d:\d\d:\d\d, drained, 0 requests refused$/.test(notify.status ?? ''))
  await service.get()
  await notify.until(() => notify.status?.endsWith('drained, 1 requests refused') === true)
  service.send('SIGTERM')
  await notify.until(() => notify.received.some(({ STOPPING }) => STOPPING === '1'))
  t.same(await service.ended, { code: 0, signal: null })
  const stored = notify.received.filter(({ FDSTORE }) => FDSTORE === '1').map(({ FDNAME }) => FDNAME)
  t.same(stored, ['listen', 'maintenance'])
})

t.test('started in maintenance it serves the page at once, without the application', async t => {
  const service = await startService(t, { record: 'maintenance', env: { APP: fixture('broken.ts') } })
  t.match(service.lines.find(({ event }) => event === 'worker-serving'), { role: 'stand-in' })
  t.match(await service.get(), { status: 503, headers: { 'retry-after': '120', 'cache-control': 'no-store' } })
})

t.test('leaving waits until the application can be loaded', async t => {
  const gate = new Gate(t)
  const service = await startService(t, { record: 'maintenance', env: { APP: fixture('reluctant.ts'), GATE: gate.path } })
  await service.line('worker-died')
  service.send('SIGUSR2')
  await service.line('leave-waiting', { by: 'SIGUSR2' })
  t.equal((await service.get()).status, 503)
  t.equal(service.record.mode, 'maintenance')
  gate.open()
  await service.line('maintenance-left', { by: 'SIGUSR2' })
  t.match(await service.get(), { status: 200, body: 'the application\n' })
  t.equal(service.record.mode, 'live')
})

t.test('SIGUSR1 cancels a leave that waits', async t => {
  const gate = new Gate(t)
  const service = await startService(t, { record: 'maintenance', env: { APP: fixture('reluctant.ts'), GATE: gate.path } })
  await service.line('worker-died')
  service.send('SIGUSR2')
  await service.line('leave-waiting')
  service.send('SIGUSR1')
  await service.line('leave-cancelled', { by: 'SIGUSR1' })
  gate.open()
  await service.line('worker-serving', { role: 'application' })
  t.equal((await service.get()).status, 503)
  t.equal(service.record.mode, 'maintenance')
})

t.test('live with an application that cannot be loaded: SIGUSR1 brings the page', async t => {
  const service = new ServiceProcess(t, { env: { APP: fixture('broken.ts') } })
  t.match(await service.line('worker-died'), { role: 'application', err: { code: 'ERR_APP_LOAD', message: /the database is down/ } })
  service.send('SIGUSR1')
  await service.line('maintenance-entered')
  await service.line('worker-serving', { role: 'stand-in' })
  await service.line('serving')
  t.equal((await service.get()).status, 503)
  // More deaths than it stands live.
  await service.linesUntil('worker-died', 4)
  t.equal((await service.get()).status, 503)
})

t.test('live with an application that cannot be loaded ends with 1 after several tries', async t => {
  const service = new ServiceProcess(t, { env: { APP: fixture('broken.ts') } })
  t.same(await service.ended, { code: 1, signal: null })
  t.equal(service.linesOf('worker-died').length, 5)
  t.match(service.linesOf('failed'), [{ level: 60, err: { code: 'ERR_APP_DYING', message: /died 5 times.*the database is down/ } }])
  t.equal(service.record.mode, 'live')
})

t.test('a module that is no application is told', async t => {
  const service = new ServiceProcess(t, { env: { APP: fixture('no-plugin.ts') } })
  t.match(await service.line('worker-died'), { err: { code: 'ERR_APP_LOAD', message: /expected a Fastify plugin/ } })
})

t.test('a maintenance page that cannot be used keeps it from starting, with 78', async t => {
  const page = join(newFolder(t), 'page.html')
  writeFileSync(page, '')
  const service = new ServiceProcess(t, { env: { MAINTENANCE_PAGE: page } })
  t.match(await service.ended, { code: 78 })
  t.match(service.stderr, /MAINTENANCE_PAGE=.*is empty/)
})
