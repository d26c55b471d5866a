// app.maintenance.onDrained in the real service: hooks run before drained is told, and cannot keep it from being told.

import { join } from 'node:path'
import t from 'tap'
import { Gate, type Scope } from '../helpers/places.ts'
import { startService, type ServiceProcess } from '../helpers/service.ts'
import { ctl, statusOf } from '../cli/ctl.ts'

t.setTimeout(120_000)

const APP = join(import.meta.dirname, '../cli/application.ts')

async function start (t: Scope, hooks: string, env = {}): Promise<{ service: ServiceProcess, gate: Gate }> {
  const gate = new Gate(t)
  return { gate, service: await startService(t, { env: { APP, GATE: gate.path, HOOKS: hooks, ...env } }) }
}

function orderOf (service: ServiceProcess, ...events: string[]): unknown[] {
  return service.lines.map(({ event }) => event).filter(event => events.includes(String(event)))
}

t.test('hooks run when nothing is in flight any more, and before drained is told', async t => {
  const { service, gate } = await start(t, 'first,second')
  const held = service.get('/hold')
  await service.line('app-holding')
  service.send('SIGUSR1')
  await service.line('maintenance-entered')
  t.same(service.linesOf('hook-first'), [])
  gate.open()
  await service.line('maintenance-drained')
  await held
  t.same(orderOf(service, 'app-released', 'hook-first', 'hook-second', 'maintenance-drained'),
    ['app-released', 'hook-first', 'hook-second', 'maintenance-drained'])
})

t.test('while a hook runs it is not drained', async t => {
  const { service, gate } = await start(t, 'gate')
  service.send('SIGUSR1')
  await service.line('hook-gate')
  t.match(await statusOf(t, service), { mode: 'maintenance', inFlight: 0, drained: false })
  t.same(service.linesOf('maintenance-drained'), [])
  gate.open()
  await service.line('maintenance-drained')
  t.match(await statusOf(t, service), { drained: true })
})

t.test('a hook that fails is told with its worker, the others run, and it is drained', async t => {
  const { service } = await start(t, 'fail,other', { WORKERS: '2' })
  await service.linesUntil('worker-serving', 2)
  service.send('SIGUSR1')
  await service.line('maintenance-drained')
  t.same(service.linesOf('drained-hook-failed').map(({ level, reason }) => [level, reason]).sort(),
    [[50, 'worker 0: the pool did not close'], [50, 'worker 1: the pool did not close']])
  t.equal(service.linesOf('hook-other').length, 2)
})

t.test('a hook that hangs is given up on after ten seconds, told, and it is drained', async t => {
  const { service } = await start(t, 'hang')
  service.send('SIGUSR1')
  await service.line('hook-hang')
  t.same(service.linesOf('maintenance-drained'), [])
  const { tookMs } = await service.line('maintenance-drained')
  t.match(service.linesOf('drained-hook-failed'), [{ level: 50, reason: 'worker 0: no answer in time' }])
  t.ok(Number(tookMs) >= 9_900, `after ${tookMs} ms`)
})

t.test('who leaves while a hook hangs is live at once, and the hook has no say in the next maintenance', async t => {
  const { service, gate } = await start(t, 'gate')
  service.send('SIGUSR1')
  await service.line('hook-gate')
  t.equal((await ctl(t, service, 'off')).code, 0)
  const held = service.get('/hold')
  await service.line('app-holding')
  await ctl(t, service, 'on')
  t.match(await statusOf(t, service), { drained: false, inFlight: 1 })
  gate.open()
  await service.line('maintenance-drained')
  await held
  t.equal(orderOf(service, 'maintenance-drained').length, 1)
})
