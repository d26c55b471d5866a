// How the process starts in each state that it may find: records, applications that cannot be loaded, pages.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { hasDatagrams, NotifySocket } from './helpers/notify-socket.ts'
import { Gate, fixture, newFolder } from './helpers/places.ts'
import { ServiceProcess, startService } from './helpers/service.ts'

t.setTimeout(120_000)
t.jobs = 3

t.test('the first start is live and leaves a record', async t => {
  const service = await startService(t)
  t.match(service.record, { version: 1, mode: 'live', by: 'first start' })
})

t.test('a record that cannot be trusted starts maintenance loudly, and SIGUSR2 leaves', async t => {
  const service = await startService(t, { record: Buffer.from('{"version":1,"mo') })
  t.match(await service.line('record-unreadable'), { level: 50, err: { code: 'ERR_RECORD_READ', message: /is not JSON; it was kept as/ } })
  t.equal((await service.get()).status, 503)
  await service.leave()
  await service.line('maintenance-left')
  t.equal((await service.get()).status, 200)
})

t.test('a lost record starts maintenance where a service manager put one there', {
  skip: !hasDatagrams && 'only on Linux'
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
  await service.leave()
  t.match(await service.line('leave-refused'), { level: 50, reason: /cannot be written/ })
  t.equal((await service.get()).status, 503)
})

t.test('the service manager is told when requests are served, the status, and the stop', {
  skip: !hasDatagrams && 'only on Linux'
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
  await notify.until(() => notify.status?.endsWith('drained, 1 request refused') === true)
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
  await service.leave()
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
  await service.leave()
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
