import t from 'tap'
import { fixture, Gate } from '../helpers/places.ts'
import { hasDatagrams, NotifySocket } from '../helpers/notify-socket.ts'
import { startService } from '../helpers/service.ts'
import { ctl, Ctl, statusOf } from './ctl.ts'

t.setTimeout(120_000)

t.test('hold enters, says when nothing is in flight, and gives its claim back on SIGTERM', async t => {
  const gate = new Gate(t)
  const service = await startService(t, { env: { APP: fixture('application.ts'), GATE: gate.path } })
  const held = service.get('/hold')
  await service.line('app-holding')
  const hold = new Ctl(t, ['hold', '--holder', 'unit', '--reason', 'why'], service)
  await hold.says(/^1 in flight\n/)
  t.match(await service.line('maintenance-entered'), { holder: 'unit', reason: 'why' })
  t.notMatch(hold.out, /nothing is in flight/)
  gate.open()
  await hold.says(/^maintenance is on and nothing is in flight\n/m)
  await held
  hold.child.kill('SIGTERM')
  t.match(await hold.ended, { code: 0, out: /\nthe claim of unit was given back\n$/, err: '' })
  t.equal((await statusOf(t, service)).mode, 'live')
})

t.test('systemd is told READY when nothing is in flight, and not before', { skip: !hasDatagrams && 'only on Linux' }, async t => {
  const gate = new Gate(t)
  const notify = new NotifySocket(t)
  const service = await startService(t, { env: { APP: fixture('application.ts'), GATE: gate.path } })
  const held = service.get('/hold')
  await service.line('app-holding')
  const hold = new Ctl(t, ['hold', '--holder', 'unit'], { ...service, env: { NOTIFY_SOCKET: notify.path } })
  await hold.says(/^1 in flight\n/)
  t.notOk(notify.received.some(({ READY }) => READY !== undefined))
  gate.open()
  await notify.until(() => notify.received.some(({ READY }) => READY === '1'))
  await held
  await service.line('maintenance-drained')
  hold.child.kill('SIGTERM')
  await notify.until(() => notify.received.some(({ STOPPING }) => STOPPING === '1'))
  t.equal((await hold.ended).code, 0)
})

t.test('SIGTERM while it waits gives the claim back, too', async t => {
  const service = await startService(t, { env: { APP: fixture('application.ts'), GATE: new Gate(t).path } })
  service.get('/hold').catch(() => {})
  await service.line('app-holding')
  const hold = new Ctl(t, ['hold', '--holder', 'unit'], service)
  await hold.says(/^1 in flight\n/)
  hold.child.kill('SIGTERM')
  t.match(await hold.ended, { code: 0, out: /the claim of unit was given back\n$/ })
  await service.line('maintenance-left')
})

t.test('it fails when what is in flight takes too long, names it, and maintenance stays on', async t => {
  const service = await startService(t, { env: { APP: fixture('application.ts'), GATE: new Gate(t).path } })
  service.get('/hold').catch(() => {})
  await service.line('app-holding')
  const { code, err } = await ctl(t, service, 'hold', '--holder', 'unit', '--wait', '300ms')
  t.equal(code, 1)
  t.match(err, /^myserverctl hold: not drained in time; maintenance stays on, 1 in flight\n {2}GET \/hold, /)
  t.match((await statusOf(t, service)).holders, [{ name: 'unit' }])
})

t.test('it ends when its claim is ended by somebody else', async t => {
  const service = await startService(t)
  await ctl(t, service, 'on', '--holder', 'other')
  const hold = new Ctl(t, ['hold', '--holder', 'unit', '--json'], service)
  await hold.says(/"drained":true/)
  await ctl(t, service, 'off', '--holder', 'unit')
  const { code, out } = await hold.ended
  t.equal(code, 0)
  t.match(JSON.parse(out.trimEnd().split('\n').at(-1) ?? ''), { mode: 'maintenance', holders: [{ name: 'other' }] })
})

t.test('--for ends the claim, and opens', async t => {
  const service = await startService(t)
  const { code, out } = await ctl(t, service, 'hold', '--holder', 'unit', '--for', '1s')
  t.equal(code, 0)
  t.match(out, /\nthe claim of unit has ended; the service is live\n$/)
  t.match(await service.line('maintenance-left'), { by: 'the end time' })
})

t.test('Ctrl-C leaves the claim standing, with 130, and says how to give it back', async t => {
  const service = await startService(t)
  const hold = new Ctl(t, ['hold', '--holder', 'unit'], service)
  await hold.says(/nothing is in flight/)
  hold.child.kill('SIGINT')
  t.match(await hold.ended, { code: 130, err: /^myserverctl hold: stopped holding\nThe claim stands; to give it back: myserverctl off --holder unit\n$/ })
  t.match((await statusOf(t, service)).holders, [{ name: 'unit' }])
})

t.test('it goes on over a crash of the service', async t => {
  const service = await startService(t)
  const hold = new Ctl(t, ['hold', '--holder', 'unit'], service)
  await hold.says(/nothing is in flight/)
  service.child.kill('SIGKILL')
  await service.ended
  const next = await startService(t, { folder: service.folder })
  t.match((await statusOf(t, next)).holders, [{ name: 'unit' }])
  await ctl(t, next, 'off')
  t.match(await hold.ended, { code: 0, out: /the claim of unit has ended; the service is live\n$/ })
})

t.test('where the check does not let it leave the claim stands, which it says', async t => {
  const service = await startService(t, { env: { MAINTENANCE_CHECK: '/nowhere/database.sock' } })
  const hold = new Ctl(t, ['hold', '--holder', 'unit'], service)
  await hold.says(/nothing is in flight/)
  hold.child.kill('SIGTERM')
  t.match(await hold.ended, { code: 1, err: /the reopening check failed: .*\nThe claim stands; to give it back: myserverctl off --holder unit\n$/ })
})

t.test('a claim that somebody else ends while it waits does not stand', async t => {
  const service = await startService(t, { env: { APP: fixture('application.ts'), GATE: new Gate(t).path } })
  service.get('/hold').catch(() => {})
  await service.line('app-holding')
  const hold = new Ctl(t, ['hold', '--holder', 'unit'], service)
  await hold.says(/1 in flight/)
  await ctl(t, service, 'off')
  t.match(await hold.ended, { code: 1, err: 'myserverctl hold: maintenance was left while this waited: the service is live\n' })
})

for (const args of [[], ['--holder', 'unit', '--wait', 'long'], ['--holder', 'unit', '--for', '0'], ['--holder', 'unit', '--until', '15:00'], ['unit']]) {
  t.test(`hold ${args.join(' ')} is wrong usage`, async t => {
    t.match(await ctl(t, {}, 'hold', ...args), { code: 2, out: '', err: /^myserverctl hold: .+\nTry: myserverctl hold --help\n$/s })
  })
}
