// A service that is there and says nothing: its process was stopped.

import t from 'tap'
import { fixture, Gate, type Scope } from '../helpers/places.ts'
import { startService, type ServiceProcess } from '../helpers/service.ts'
import { ctl, Ctl } from './ctl.ts'

t.setTimeout(120_000)

const MUTE = /: the service does not answer: nothing came from \S+control\.sock within \d+ s; what it is at: systemctl status myserver/

async function startHeld (t: Scope): Promise<ServiceProcess> {
  const service = await startService(t, { env: { APP: fixture('application.ts'), GATE: new Gate(t).path } })
  service.get('/hold').catch(() => {})
  await service.line('app-holding')
  return service
}

for (const args of [['status'], ['status', '--watch'], ['wait', '--drained', '--timeout', '300ms'], ['wait', '--live']]) {
  t.test(`${args.join(' ')} ends, and says so`, async t => {
    const service = await startService(t)
    service.child.kill('SIGSTOP')
    const { code, out, err } = await ctl(t, service, ...args)
    t.equal(code, 3)
    t.equal(out, '')
    t.match(err, MUTE)
    t.notMatch(err, /aintenance/, 'of which nothing was heard')
  })
}

t.test('on ends, and says that what became of it is not known', async t => {
  const service = await startService(t)
  service.child.kill('SIGSTOP')
  const { code, err } = await ctl(t, service, 'on', '--wait=300ms')
  t.equal(code, 3)
  t.match(err, MUTE)
  t.match(err, /\nWhat became of it is not known: myserverctl status\n$/)
})

for (const json of [false, true]) {
  t.test(`a timeout comes in time, with what was heard last${json ? ', as JSON' : ''}`, async t => {
    const service = await startHeld(t)
    const waiting = new Ctl(t, ['on', '--wait=3s', ...json ? ['--json'] : []], service)
    await service.line('maintenance-entered')
    if (!json) await waiting.says(/^ {2}GET \/hold, /m)
    service.child.kill('SIGSTOP')
    const { code, out, err } = await waiting.ended
    if (json && code === 3) return t.match(err, MUTE, 'stopped before it had answered')
    t.equal(code, 1)
    t.match(err, /^myserverctl on: not drained in time; the service does not answer; when it was last heard of, maintenance stays on, 1 in flight\n {2}GET \/hold, .*\n$/)
    if (json) t.match(JSON.parse(out), { mode: 'maintenance', inFlight: 1 })
  })
}

t.test('--cut says that it could not', async t => {
  const service = await startHeld(t)
  const waiting = new Ctl(t, ['on', '--wait=3s', '--cut'], service)
  await waiting.says(/^ {2}GET \/hold, /m)
  service.child.kill('SIGSTOP')
  t.match(await waiting.ended, { code: 1, err: /^myserverctl on: not drained in time; [^]*\ncutting connections has failed: the service does not answer/ })
})

t.test('off waits for it, since leaving takes its time, and Ctrl-C claims nothing', async t => {
  const service = await startService(t, { record: 'maintenance' })
  const off = new Ctl(t, ['off'], { ...service, env: { NODE_DEBUG: 'http' } })
  service.child.kill('SIGSTOP')
  await off.says(/outgoing message end/)
  off.child.kill('SIGINT')
  const { code, err } = await off.ended
  t.equal(code, 130)
  t.match(err, /^myserverctl off: stopped waiting for the answer\. The service may do what it was asked all the same; how things stand: myserverctl status$/m)
})
