import t from 'tap'
import { fixture, Gate } from '../helpers/places.ts'
import { startService } from '../helpers/service.ts'
import { ctl, Ctl } from './ctl.ts'

t.setTimeout(120_000)

t.test('wait --drained returns when what was in flight is over', async t => {
  const gate = new Gate(t)
  const service = await startService(t, { env: { APP: fixture('application.ts'), GATE: gate.path } })
  const held = service.get('/hold')
  await service.line('app-holding')
  service.send('SIGUSR1')
  await service.line('maintenance-entered')
  const waiting = new Ctl(t, ['wait', '--drained'], service)
  await waiting.says(/^1 in flight\n {2}GET \/hold, /)
  gate.open()
  t.match(await waiting.ended, { code: 0, out: /^maintenance since .*, drained, 0 requests refused\n/m, err: '' })
  await held

  const again = await ctl(t, service, 'wait', '--drained', '--json')
  t.equal(again.code, 0)
  t.match(JSON.parse(again.out), { mode: 'maintenance', drained: true }, 'nothing but JSON, and at once when it is so already')
})

t.test('wait --drained gives up on a service that is live, or becomes it', async t => {
  const gate = new Gate(t)
  const service = await startService(t, { env: { APP: fixture('application.ts'), GATE: gate.path } })
  t.match(await ctl(t, service, 'wait', '--drained'), { code: 1, out: '', err: /^myserverctl wait: .*: the service is live\n$/ })
  service.get('/hold').catch(() => {})
  await service.line('app-holding')
  service.send('SIGUSR1')
  await service.line('maintenance-entered')
  const waiting = new Ctl(t, ['wait', '--drained'], service)
  await waiting.says(/1 in flight/)
  service.send('SIGUSR2')
  t.match(await waiting.ended, { code: 1, err: /the service is live\n$/ })
})

t.test('wait --drained, started just before the signal that it waits for, waits for it', async t => {
  const service = await startService(t)
  const waiting = new Ctl(t, ['wait', '--drained'], service)
  service.send('SIGUSR1')
  t.match(await waiting.ended, { code: 0, out: /^maintenance since .*, drained, /m, err: '' })
})

t.test('who waits with a claim of its own is told when somebody else ends it, though others hold maintenance', async t => {
  const service = await startService(t, { env: { APP: fixture('application.ts'), GATE: new Gate(t).path } })
  service.get('/hold').catch(() => {})
  await service.line('app-holding')
  await ctl(t, service, 'on', '--holder', 'other')
  const waiting = new Ctl(t, ['on', '--holder', 'mine', '--wait'], service)
  await waiting.says(/^ {2}GET \/hold, /m)
  await ctl(t, service, 'off', '--holder', 'mine')
  t.match(await waiting.ended, { code: 1, err: /^myserverctl on: the claim of mine was ended while this waited; others hold maintenance\n$/ })
})

t.test('wait --timeout names what is still in flight, and maintenance stays on', async t => {
  const service = await startService(t, { env: { APP: fixture('application.ts'), GATE: new Gate(t).path } })
  service.get('/hold').catch(() => {})
  await service.line('app-holding')
  service.send('SIGUSR1')
  await service.line('maintenance-entered')
  const { code, err } = await ctl(t, service, 'wait', '--drained', '--timeout', '300ms')
  t.equal(code, 1)
  t.match(err, /^myserverctl wait: not drained in time; maintenance stays on, 1 in flight\n {2}GET \/hold, \d+\.\d s \(worker 0\)\n$/)
  t.equal((await service.get()).status, 503)
  const json = await ctl(t, service, 'wait', '--drained', '--timeout', '300ms', '--json')
  t.equal(json.code, 1)
  t.match(JSON.parse(json.out), { mode: 'maintenance', drained: false, inFlight: 1, stragglers: [{ what: 'GET /hold' }] }, 'as JSON, too')
  t.equal(json.err.split('\n')[0], err.split('\n')[0])
  const entering = await ctl(t, service, 'on', '--wait=300ms', '--json')
  t.equal(entering.code, 1)
  t.match(JSON.parse(entering.out), { mode: 'maintenance', inFlight: 1 })
})

t.test('wait --live returns when maintenance is left', async t => {
  const service = await startService(t, { record: 'maintenance' })
  t.match(await ctl(t, service, 'wait', '--live', '--timeout', '200ms'), { code: 1, err: /^myserverctl wait: not live in time; maintenance stays on, 0 in flight\n$/ })
  const waiting = new Ctl(t, ['wait', '--live', '--timeout', '30d', '--json'], service)
  await service.line('maintenance-drained')
  service.send('SIGUSR2')
  const { code, out, err } = await waiting.ended
  t.equal(code, 0)
  t.equal(err, '', 'a timeout of more days than a timer takes is none')
  t.match(JSON.parse(out), { mode: 'live' })
  t.equal((await ctl(t, service, 'wait', '--live')).code, 0)
})

for (const args of [[], ['--drained', '--live'], ['--drained', '--timeout', 'soon'], ['--drained=1'], ['drained']]) {
  t.test(`wait ${args.join(' ')} is wrong usage`, async t => {
    t.match(await ctl(t, {}, 'wait', ...args), { code: 2, out: '', err: /^myserverctl wait: (?!wait:).+\nTry: myserverctl wait --help\n$/s })
  })
}
