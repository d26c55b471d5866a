// Waiting goes on over a restart of the service.

import { join } from 'node:path'
import t from 'tap'
import { fixture, Gate, type Scope } from '../helpers/places.ts'
import { startService, type ServiceProcess } from '../helpers/service.ts'
import { Ctl, statusOf } from './ctl.ts'

t.setTimeout(120_000)

/** A service with a request in it that does not end. */
async function startHeld (t: Scope): Promise<ServiceProcess> {
  const service = await startService(t, { env: { APP: fixture('application.ts'), GATE: new Gate(t).path, SHUTDOWN_GRACE: '0s' } })
  service.get('/hold').catch(() => {})
  await service.line('app-holding')
  return service
}

for (const [what, signal] of [['a restart', 'SIGTERM'], ['a crash', 'SIGKILL']] as const) {
  t.test(`on --wait goes on over ${what}, and returns when the next process is drained`, async t => {
    const service = await startHeld(t)
    const waiting = new Ctl(t, ['on', '--wait', '--reason', 'before'], service)
    await waiting.says(/^ {2}GET \/hold, /m)
    service.child.kill(signal)
    await service.ended
    await waiting.says(/^the service is away, waiting$/m)
    const next = await startService(t, { folder: service.folder })
    t.match(await waiting.ended, { code: 0, out: /^maintenance since .*, drained, /m, err: '' })
    t.match(await statusOf(t, next), { mode: 'maintenance', drained: true, holders: [{ reason: 'before' }] })
  })
}

t.test('wait --live goes on over a restart', async t => {
  const service = await startService(t, { record: 'maintenance' })
  const waiting = new Ctl(t, ['wait', '--live', '--json'], service)
  const watch = new Ctl(t, ['status', '--watch', '--json'], service)
  await watch.says(/\n/)
  service.child.kill('SIGTERM')
  t.equal((await service.ended).code, 0)
  const next = await startService(t, { folder: service.folder })
  // Whoever follows has found the new one.
  await watch.says(/(.*\n){2}/)
  next.send('SIGUSR2')
  t.equal((await waiting.ended).code, 0)
  await watch.says(/"mode":"live"/)
})

t.test('at the timeout of a wait, a service that has not come back cannot be reached', async t => {
  const service = await startHeld(t)
  const waiting = new Ctl(t, ['on', '--wait=4s'], service)
  await waiting.says(/^ {2}GET \/hold, /m)
  service.child.kill('SIGKILL')
  await service.ended
  const { code, err } = await waiting.ended
  t.equal(code, 3)
  t.match(err, new RegExp(`^myserverctl on: the service is not running: nobody answers on ${join(service.folder, 'run/control.sock')}; .*\nMaintenance was on when it was last heard of, and stays on through restarts: myserverctl status\n$`))
})

t.test('Ctrl-C while the service is away claims no more than was heard', async t => {
  const service = await startHeld(t)
  const waiting = new Ctl(t, ['on', '--wait'], service)
  await waiting.says(/^ {2}GET \/hold, /m)
  service.child.kill('SIGKILL')
  await waiting.says(/^the service is away, waiting$/m)
  waiting.child.kill('SIGINT')
  t.match(await waiting.ended, { code: 130, err: /^myserverctl on: stopped waiting\. The service is away; maintenance stays on through restarts; to leave it: myserverctl off\n$/ })
})
