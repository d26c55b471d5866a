// myserverctl hold, while the service is away: the claim is neither lost nor forgotten.

import { join } from 'node:path'
import { mock } from 'node:test'
import t from 'tap'
import type { Client } from '../../src/cli/client.ts'
import type { Terminal } from '../../src/cli/command.ts'
import { Failure } from '../../src/cli/failure.ts'
import { hold } from '../../src/cli/hold.ts'
import type { Entered } from '../../src/control/protocol.ts'
import { fixture, Gate } from '../helpers/places.ts'
import { startService } from '../helpers/service.ts'
import { ctl, Ctl, statusOf } from './ctl.ts'

t.setTimeout(120_000)

for (const [when, isHeld] of [['later', false], ['while it waits', true]] as const) {
  t.test(`SIGTERM while the service is away, ${when}, gives the claim back as soon as it is there`, async t => {
    const service = await startService(t, { env: { APP: fixture('application.ts'), GATE: new Gate(t).path } })
    if (isHeld) {
      service.get('/hold').catch(() => {})
      await service.line('app-holding')
    }
    const hold = new Ctl(t, ['hold', '--holder', 'unit'], service)
    await hold.says(isHeld ? /1 in flight/ : /nothing is in flight/)
    service.child.kill('SIGKILL')
    await service.ended
    if (isHeld) await hold.says(/^the service is away, waiting$/m)
    hold.child.kill('SIGTERM')
    await hold.says(/^the service is away; the claim of unit stands, and is given back as soon as it answers$/m)
    const next = await startService(t, { folder: service.folder })
    t.match(await hold.ended, { code: 0, out: /the claim of unit was given back\n$/ })
    t.equal((await statusOf(t, next)).mode, 'live')
  })
}

t.test('where the service manager has gone, too, it ends at once, and says that the claim stands', async t => {
  const service = await startService(t)
  const hold = new Ctl(t, ['hold', '--holder', 'unit'], { ...service, env: { NOTIFY_SOCKET: join(service.folder, 'nobody') } })
  await hold.says(/nothing is in flight/)
  service.child.kill('SIGKILL')
  await service.ended
  hold.child.kill('SIGTERM')
  t.match(await hold.ended, { code: 3, err: /^myserverctl hold: the service is not running: .*\n(.*\n)?The claim stands; to give it back: myserverctl off --holder unit\n$/ })
})

t.test('where the service was stopped for good it waits half a minute, and says that the claim stands', async t => {
  const stopped = new AbortController()
  const told: string[] = []
  const status = { mode: 'maintenance', drained: true, inFlight: 0, holders: [{ name: 'unit' }], workers: [], stragglers: [] } as unknown as Entered
  const client = {
    enter: async () => status,
    async * follow (signal: AbortSignal) {
      yield status
      stopped.abort()
      if (!signal.aborted) yield status
    },
    async leave () { throw new Failure('unreachable', 'nobody answers') }
  } as unknown as Client
  const terminal = {
    out () {},
    // From the first attempt on; the next one comes after half a second of its own.
    err (text: string) {
      told.push(text)
      mock.timers.tick(30_000)
    },
    interrupted: new AbortController().signal,
    terminated: () => stopped.signal,
    notify: () => true,
    remember () {},
    isSuccessor: () => false
  } as unknown as Terminal
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  await t.rejects(hold.run(['--holder', 'unit'], () => client, terminal),
    { kind: 'unreachable', message: /^nobody answers\nThe claim stands; to give it back: myserverctl off --holder unit$/ })
  t.equal(told.length, 1)
})

t.test('Ctrl-C ends that, and says that the claim stands', async t => {
  const service = await startService(t)
  const hold = new Ctl(t, ['hold', '--holder', 'unit'], service)
  await hold.says(/nothing is in flight/)
  service.child.kill('SIGKILL')
  await service.ended
  hold.child.kill('SIGTERM')
  await hold.says(/given back as soon as it answers/)
  hold.child.kill('SIGINT')
  t.match(await hold.ended, { code: 130, err: /\nThe claim stands; to give it back: myserverctl off --holder unit\n$/ })
})

t.test('a service that stops while the claim is given back is asked again when it is back', async t => {
  const gate = new Gate(t)
  const service = await startService(t, { env: { APP: fixture('reluctant.ts'), GATE: gate.path }, record: 'maintenance' })
  const hold = new Ctl(t, ['hold', '--holder', 'operator'], service)
  await hold.says(/nothing is in flight/)
  hold.child.kill('SIGTERM')
  await service.line('leave-waiting')
  service.child.kill('SIGTERM')
  await hold.says(/given back as soon as it answers/)
  await service.ended
  await startService(t, { folder: service.folder })
  t.match(await hold.ended, { code: 0, out: /the claim of operator was given back\n$/ })
})

t.test('where the service does not come back in time it says that the claim stands', async t => {
  const service = await startService(t, { env: { APP: fixture('application.ts'), GATE: new Gate(t).path } })
  service.get('/hold').catch(() => {})
  await service.line('app-holding')
  const hold = new Ctl(t, ['hold', '--holder', 'unit', '--wait=3s'], service)
  await hold.says(/1 in flight/)
  service.child.kill('SIGKILL')
  t.match(await hold.ended, { code: 3, err: /stays on through restarts: myserverctl status\nThe claim stands; to give it back: myserverctl off --holder unit\n$/ })
})

t.test('where no answer came the claim may stand', async t => {
  const service = await startService(t)
  service.child.kill('SIGSTOP')
  t.match(await ctl(t, service, 'hold', '--holder', 'unit'), { code: 3, err: /\nThe claim may stand; to give it back: myserverctl off --holder unit\n$/ })
})
