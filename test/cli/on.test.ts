import { userInfo } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { call } from '../helpers/call.ts'
import { fixture, Gate } from '../helpers/places.ts'
import { startService } from '../helpers/service.ts'
import { ctl, Ctl, statusOf } from './ctl.ts'

t.setTimeout(120_000)

const gate = new Gate(t)
const service = await startService(t, { env: { APP: fixture('application.ts'), GATE: gate.path } })

t.beforeEach(() => service.forgetLines())
t.afterEach(async () => { await call(join(service.folder, 'run/control.sock'), 'DELETE', '/v1/maintenance') })

t.test('on enters, and says how things stand', async t => {
  const { code, out, err } = await ctl(t, service, 'on')
  t.equal(code, 0)
  t.equal(err, '')
  t.match(out, /^maintenance since \d\d:\d\d:\d\d \(\S+\), drained, /, 'nothing was in flight')
  t.match(out, new RegExp(`^ {2}operator: by ${userInfo().username}, uid \\d+, pid \\d+ since `, 'm'))
  t.match(await service.line('maintenance-entered'), { by: new RegExp(`^${userInfo().username}, uid \\d+, pid \\d+$`), holder: 'operator' })
  t.equal((await service.get()).status, 503)
})

t.test('everything that it can be told arrives', async t => {
  const before = Date.now()
  const { code, out } = await ctl(t, service, 'on', '--reason', 'postgres 15 → 17', '--message=Back "soon" & <better>',
    '--for', '30m', '--then', 'check', '--holder', 'migration', '--wait', '--json')
  t.equal(code, 0)
  const status = JSON.parse(out)
  const [holder] = status.holders
  t.match(holder, { name: 'migration', reason: 'postgres 15 → 17', message: 'Back "soon" & <better>', then: 'check', overdue: false })
  t.ok(Date.parse(holder.until) >= before + 1_800_000 && Date.parse(holder.until) <= Date.now() + 1_800_000)
  t.match(status, { mode: 'maintenance', drained: true, durable: true })
  t.match(await service.line('maintenance-entered'), { holder: 'migration', reason: 'postgres 15 → 17', until: holder.until })
  const page = await service.get('/', { Accept: 'text/html' })
  t.match(page.body, 'Back &quot;soon&quot; &amp; &lt;better&gt;')
  const retryAfter = Number(page.headers['retry-after'])
  t.ok(retryAfter > 1_700 && retryAfter < 1_861, `Retry-After: ${retryAfter}`)
})

t.test('what is for the journal is not for the public', async t => {
  await ctl(t, service, 'on', '--reason', 'the secret plan')
  t.notMatch((await service.get()).body, 'secret')
})

t.test('--until ends when the clock says so', async t => {
  const until = new Date(Math.ceil(Date.now() / 1000) * 1000 + 3_600_000).toISOString()
  const { code, out } = await ctl(t, service, 'on', '--until', until, '--then', 'open')
  t.equal(code, 0)
  t.match(out, /; until (\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d, then open/)
  t.match((await statusOf(t, service)).holders, [{ until, then: 'open' }])
  t.match(service.record, { holders: [{ end: { at: until, then: 'open', countsBy: 'clock' } }] })
})

t.test('--then open opens at the end by itself', async t => {
  t.equal((await ctl(t, service, 'on', '--for', '500ms', '--then', 'open')).code, 0)
  t.match(await service.line('maintenance-left', { by: 'the end time' }), { forced: true })
})

t.test('on again changes what is given, and keeps the rest', async t => {
  await ctl(t, service, 'on', '--reason', 'one', '--message', 'first', '--for', '1h')
  const { code, out } = await ctl(t, service, 'on', '--message', 'second')
  t.equal(code, 0)
  t.match(out, /until .*, then stay; reason: one; message: second/)
  t.match(await service.line('maintenance-updated'), { holder: 'operator' })
})

t.test('--wait returns when nothing is in flight, and names until then what is, in plain lines', async t => {
  const held = service.get('/hold')
  await service.line('app-holding')
  const waiting = new Ctl(t, ['on', '--wait'], service)
  await waiting.says(/^1 in flight\n {2}GET \/hold, \d+\.\d s \(worker 0\)\n/m)
  gate.open()
  const { code, out, err } = await waiting.ended
  t.equal(code, 0)
  t.equal(err, '')
  t.match(out, /^maintenance is on; 1 in flight, waiting\n/)
  t.match(out, /^maintenance since .*, drained, /m)
  // eslint-disable-next-line no-control-regex
  t.notMatch(out, /\x1b/, 'nothing for a terminal in a pipe')
  t.equal((await held).status, 200)
})

for (const [what, args, problem] of [
  ['two ends', ['--for', '1h', '--until', '15:00'], /--for and --until: expected one of them/],
  ['--cut without a timeout', ['--cut'], /--cut goes with --wait=TIMEOUT/],
  ['--cut with an endless wait', ['--cut', '--wait'], /--cut goes with --wait=TIMEOUT/],
  ['an unknown ending', ['--for', '1h', '--then', 'close'], /--then close: expected one of stay, open, check/],
  ['a wrong duration', ['--for', 'long'], /--for=long: expected a duration such as/],
  ['a wrong timeout', ['--wait=0'], /--wait=0: expected a duration such as/],
  ['a timeout in a word of its own', ['--wait', '10m'], /--wait 10m: expected --wait=10m\n/],
  ['a wrong time', ['--until', 'tomorrow'], /--until=tomorrow: expected a time such as/],
  ['a time that has passed', ['--until', '2020-01-01T00:00Z'], /that is over/],
  ['an ending without an end', ['--then', 'open'], /--then open goes with --for or --until/],
  ['staying without an end', ['--then', 'stay'], /--then stay goes with --for or --until/],
  ['a year and a day', ['--for', '367d'], /--for: expected more than zero and at most a year\n/],
  ['a day that no month has', ['--until', '2027-02-30T10:00'], /--until=2027-02-30T10:00: expected a time such as/],
  ['a time in two years', ['--until', new Date(Date.now() + 2 * 366 * 24 * 3_600_000).toISOString()], /--until: expected a time within a year\n/],
  ['a name that is none', ['--holder', 'a b'], /--holder: expected a name of up to 100/],
  ['an empty reason', ['--reason', ''], /--reason: expected one line of 1 to 500 characters/],
  ['a reason of a whole book', ['--reason', 'x'.repeat(20_000)], /--reason: expected one line of 1 to 500 characters\n/],
  ['help where a reason is missing', ['--reason', '--help'], /'--reason' argument is ambiguous/],
  ['a message of two lines', ['--message', 'a\nb'], /--message: expected one line/],
  ['a reason that is missing', ['--reason'], /--reason <value>' argument missing/],
  ['an unknown option', ['--resaon', 'x'], /Unknown option '--resaon'/],
  ['a word too many', ['now'], /Unexpected argument 'now'/],
  ['an empty path of the socket', ['--socket='], /--socket=: expected the path of the control socket/]
] as const) {
  t.test(`${what} is wrong usage, and enters nothing`, async t => {
    const { code, out, err } = await ctl(t, service, 'on', ...args)
    t.equal(code, 2)
    t.equal(out, '')
    t.match(err, /^myserverctl on: /)
    t.match(err, problem)
    t.match(err, /\nTry: myserverctl on --help\n$/)
    t.same(service.linesOf('maintenance-entered'), [])
  })
}
