// Real signals to the real process: entering, leaving, in any number and order.

import { writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import t from 'tap'
import { NotifySocket, hasDatagrams } from './helpers/notify-socket.ts'
import { Gate, fixture, newFolder, type Scope } from './helpers/places.ts'
import { startService, type ServiceProcess } from './helpers/service.ts'

t.setTimeout(120_000)
t.jobs = 2

const ENTER = ['maintenance-entered', 'maintenance-unchanged', 'maintenance-joined', 'maintenance-updated']
// As documented, less what the clock of the lines may be off.
const DOUBT_MS = 9
const LEAVE = ['maintenance-left', 'maintenance-unchanged', 'leave-refused', 'leave-waiting', 'leave-joined']

/** The line that says what became of a signal that was sent last. */
async function taken (service: ServiceProcess, signal: 'SIGUSR1' | 'SIGUSR2'): Promise<string> {
  const events = signal === 'SIGUSR1' ? ENTER : LEAVE
  return await service.until(`what became of ${signal}`, () => events.find(event => {
    return service.linesOf(event).some(line => line.by === signal)
  }))
}

/** Both signals while the process is stopped, so that both are pending when it goes on. */
async function sendTogether (service: ServiceProcess, first: 'SIGUSR1' | 'SIGUSR2'): Promise<string> {
  const second = first === 'SIGUSR1' ? 'SIGUSR2' : 'SIGUSR1'
  service.send('SIGSTOP', first, second, 'SIGCONT')
  await taken(service, 'SIGUSR1')
  return await taken(service, 'SIGUSR2')
}

async function startApplication (t: Scope): Promise<{ service: ServiceProcess, gate: Gate }> {
  const gate = new Gate(t)
  return { gate, service: await startService(t, { env: { APP: fixture('application.ts'), GATE: gate.path } }) }
}

t.test('SIGUSR1 enters and SIGUSR2 leaves', async t => {
  const service = await startService(t)
  t.equal((await service.get()).status, 200)
  service.send('SIGUSR1')
  await service.line('maintenance-entered')
  t.equal((await service.get()).status, 503)
  t.equal(service.record.mode, 'maintenance')
  await service.leave()
  await service.line('maintenance-left')
  t.equal((await service.get()).status, 200)
  t.equal(service.record.mode, 'live')
})

t.test('each transition is one line, with who asked, what was in flight, how long it took and what was refused', async t => {
  const service = await startService(t)
  service.send('SIGUSR1')
  const entered = await service.line('maintenance-entered')
  const drained = await service.line('maintenance-drained')
  t.match(entered, { level: 40, by: 'SIGUSR1', inFlight: 0, msg: 'maintenance entered' })
  t.match(drained, { level: 30, tookMs: Number })
  await service.get()
  await service.get()
  const seen = service.lines.length
  await service.leave()
  const left = await service.line('maintenance-left')
  t.match(left, { level: 30, by: 'SIGUSR2', lastedMs: Number, refused: 2 })
  const events = service.lines.slice(seen).map(({ event }) => event).filter(event => event !== 'leave-refused')
  t.same(events, ['maintenance-left'], 'refused requests have no lines of their own')
})

t.test('SIGUSR1 again changes nothing and says so', async t => {
  const service = await startService(t)
  service.send('SIGUSR1')
  await service.line('maintenance-drained')
  const before = service.record
  service.send('SIGUSR1')
  await service.line('maintenance-unchanged', { by: 'SIGUSR1' })
  t.same(service.record, before)
  t.same(service.linesOf('maintenance-entered'), [])
  t.equal((await service.get()).status, 503)
})

t.test('SIGUSR2 again changes nothing and says so', async t => {
  const service = await startService(t)
  const before = service.record
  await service.leave()
  await service.line('maintenance-unchanged', { by: 'SIGUSR2' })
  t.same(service.record, before)
  t.equal((await service.get()).status, 200)
})

for (const [last, mode, status] of [['SIGUSR1', 'maintenance', 503], ['SIGUSR2', 'live', 200]] as const) {
  t.test(`1,000 rapid alternating signals and then ${last} end in ${mode}: switch, record and status`, {
    skip: !hasDatagrams && 'only on Linux'
  }, async t => {
    const notify = new NotifySocket(t)
    const service = await startService(t, { record: 'live', env: { NOTIFY_SOCKET: notify.path } })
    service.send(...Array.from({ length: 1000 }, (_, i) => i % 2 === 0 ? 'SIGUSR1' as const : 'SIGUSR2' as const))
    // Until all of them are taken: what is pending goes first, and each answer is one more turn of the event loop.
    for (let turn = 0; turn < 3; turn++) {
      service.send('SIGHUP')
      await service.line('page-reloaded')
    }
    // A leave that came together with an enter is refused, once more is enough.
    let became
    do {
      service.send(last)
      became = await taken(service, last)
    } while (became === 'leave-refused')
    t.equal((await service.get()).status, status)
    t.equal(service.record.mode, mode)
    await notify.until(() => notify.status?.startsWith(mode) === true)
  })
}

t.test('SIGUSR2 and then SIGUSR1 in one burst open only where SIGUSR2 arrives too late for any doubt', async t => {
  const service = await startService(t, { env: { WORKERS: '2' } })
  for (let round = 0; round < 150; round++) {
    await sendTogether(service, 'SIGUSR2')
    if (service.record.mode === 'maintenance') continue
    // The thread that took SIGUSR2 got no processor for a while: then it cannot be told from one that was sent later.
    const [entered, left] = [service.lines.findLast(({ by }) => by === 'SIGUSR1'), await service.line('maintenance-left')]
    const apartMs = Date.parse(String(left.time)) - Date.parse(String(entered?.time))
    if (apartMs < DOUBT_MS) t.fail(`round ${round}: SIGUSR2 was obeyed ${apartMs} ms after SIGUSR1`)
  }
  service.send('SIGUSR1')
  await taken(service, 'SIGUSR1')
  t.equal((await service.get()).status, 503)
})

t.test('opposite signals in one burst keep maintenance on, say so, and one more SIGUSR2 leaves', async t => {
  const service = await startService(t)
  service.send('SIGUSR1')
  await service.line('maintenance-drained')
  while (await sendTogether(service, 'SIGUSR1') !== 'leave-refused') {
    service.send('SIGUSR1')
    await taken(service, 'SIGUSR1')
  }
  t.match(await service.line('leave-refused'), { by: 'SIGUSR2', msg: /send SIGUSR2 again/ })
  t.equal((await service.get()).status, 503)
  await service.leave()
  await service.line('maintenance-left')
  t.equal((await service.get()).status, 200)
})

t.test('drained is said only when the slow request is over', async t => {
  const { service, gate } = await startApplication(t)
  const held = service.get('/hold')
  await service.line('app-holding')
  service.send('SIGUSR1')
  t.match(await service.line('maintenance-entered'), { inFlight: 1 })
  t.equal((await service.get()).status, 503)
  t.same(service.linesOf('maintenance-drained'), [])
  gate.open()
  await service.line('maintenance-drained')
  t.equal(service.linesOf('app-released').length, 1, 'the handler was over before')
  t.equal((await held).status, 200)
})

t.test('drained is said only when the handler of an aborted request is over', async t => {
  const { service, gate } = await startApplication(t)
  const message = request({ host: '127.0.0.1', port: service.port, path: '/hold', agent: false })
  message.on('error', () => {}).end()
  await service.line('app-holding')
  message.destroy()
  await service.until('the abort', () => service.lines.find(({ msg }) => msg === 'request aborted'))
  service.send('SIGUSR1')
  t.match(await service.line('maintenance-entered'), { inFlight: 1 })
  t.equal((await service.get()).status, 503)
  t.same(service.linesOf('maintenance-drained'), [])
  gate.open()
  await service.line('maintenance-drained')
  t.equal(service.linesOf('app-released').length, 1)
})

t.test('leaving and entering while a request is still running is drained once, for the second time', async t => {
  const { service, gate } = await startApplication(t)
  const held = service.get('/hold')
  await service.line('app-holding')
  const start = service.lines.length
  for (const [signal, event] of [['SIGUSR1', 'maintenance-entered'], ['SIGUSR2', 'maintenance-left'], ['SIGUSR1', 'maintenance-entered']] as const) {
    do {
      service.send(signal)
    } while (await taken(service, signal) === 'leave-refused')
    await service.line(event)
  }
  gate.open()
  await service.line('maintenance-drained')
  await held
  await service.leave()
  await service.line('maintenance-left')
  t.equal(service.lines.slice(start).filter(({ event }) => event === 'maintenance-drained').length, 1)
})

t.test('SIGHUP reads the page again', async t => {
  const page = join(newFolder(t), 'page.html')
  writeFileSync(page, 'first')
  const service = await startService(t, { env: { MAINTENANCE_PAGE: page } })
  service.send('SIGUSR1')
  await service.line('maintenance-drained')
  t.equal((await service.get()).body, 'first')
  writeFileSync(page, 'second')
  service.send('SIGHUP')
  await service.line('page-reloaded')
  // The workers are told by message.
  let body
  do ({ body } = await service.get()); while (body === 'first')
  t.equal(body, 'second')
})

t.test('SIGHUP keeps the old page where the new one cannot be used, and says why', async t => {
  const page = join(newFolder(t), 'page.html')
  writeFileSync(page, 'first')
  const service = await startService(t, { env: { MAINTENANCE_PAGE: page } })
  service.send('SIGUSR1')
  await service.line('maintenance-drained')
  writeFileSync(page, '')
  service.send('SIGHUP')
  t.match(await service.line('page-kept'), { level: 50, err: { code: 'ERR_PAGE', message: /empty/ } })
  t.equal((await service.get()).body, 'first')
})
