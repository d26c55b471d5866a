// On a terminal: progress in place, and Ctrl-C, typed as it is there.

import { spawnSync } from 'node:child_process'
import t from 'tap'
import { fixture, Gate } from '../helpers/places.ts'
import { startService } from '../helpers/service.ts'
import { ctl, Ctl, statusOf } from './ctl.ts'

t.setTimeout(120_000)

const needsPython = { skip: process.env.CI !== 'true' && spawnSync('python3', ['--version']).error !== undefined && 'python3 is not installed' }
// A pseudo terminal around a program: what is typed comes from standard input, what it shows goes to standard output.
const PTY = 'import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))'
const SIZED = ['sh', '-c', 'stty rows 24 columns 100 && exec "$0" "$@"']
const onTerminal = { through: ['python3', '-c', PTY, ...SIZED], env: { TERM: 'xterm' } }
const CTRL_C = '\x03'
const ESCAPES = /\x1b\[[\d;?]*[A-Za-z]/g // eslint-disable-line no-control-regex

/** What a terminal shows in the end is not followed: only the order in which it was told. */
function plain (shown: string): string {
  return shown.replace(ESCAPES, '').replaceAll('\r', '')
}

t.test('while it waits a terminal shows a bar and what is in flight, in place', needsPython, async t => {
  const gate = new Gate(t)
  const service = await startService(t, { env: { APP: fixture('application.ts'), GATE: gate.path } })
  const calls = [service.get('/hold'), service.get('/hold')]
  await service.linesUntil('app-holding', 2)
  const waiting = new Ctl(t, ['on', '--wait'], { ...service, ...onTerminal })
  await waiting.says(/\[-{30}\] 2 of 2 left/)
  await waiting.says(/GET \/hold, \d+\.\d s \(worker 0\)[^]*GET \/hold, \d+\.\d s/)
  // eslint-disable-next-line no-control-regex
  await waiting.says(/\x1b\[\d*[AFGJK]/)
  gate.open()
  const { code, out } = await waiting.ended
  t.equal(code, 0)
  t.match(plain(out), /\nmaintenance since .*, drained, 0 requests refused\n {2}operator: by .*\nworker 0 serving; version .*\n$/)
  await Promise.all(calls)
})

t.test('a terminal that does not know its size, as a serial console, gets plain lines', needsPython, async t => {
  const gate = new Gate(t)
  const service = await startService(t, { env: { APP: fixture('application.ts'), GATE: gate.path } })
  const call = service.get('/hold')
  await service.line('app-holding')
  const waiting = new Ctl(t, ['on', '--wait'], { ...service, ...onTerminal, through: ['python3', '-c', PTY] })
  await waiting.says(/^1 in flight\r?\n {2}GET \/hold, /m)
  gate.open()
  t.equal((await waiting.ended).code, 0)
  await call
})

const MANY = 12
const small = { through: ['python3', '-c', PTY, 'sh', '-c', 'stty rows 8 columns 100 && exec "$0" "$@"'], env: { TERM: 'xterm' } }

for (const [args, first] of [
  [['on', '--wait'], /\[-+\] 12 of 12 left\n( {2}GET \/hold, .*\n){5} {2}and 7 more\n/],
  [['status', '--watch'], /maintenance since .*, 12 in flight, .*\n {2}operator: .*\n( {2}GET \/hold, .*\n){3} {2}and 9 more\nworker 0 serving; .*\n/]
] as const) {
  t.test(`${args.join(' ')} keeps its first line where there are more stragglers than rows`, needsPython, async t => {
    const service = await startService(t, { env: { APP: fixture('application.ts'), GATE: new Gate(t).path } })
    for (let i = 0; i < MANY; i++) service.get('/hold').catch(() => {})
    await service.linesUntil('app-holding', MANY)
    await ctl(t, service, 'on')
    const waiting = new Ctl(t, args, { ...service, ...small })
    await waiting.says(/more/)
    waiting.child.stdin?.write(CTRL_C)
    t.match(plain((await waiting.ended).out), first)
  })
}

t.test('a service that is away is said to be, above what was heard of it', needsPython, async t => {
  const service = await startService(t, { record: 'maintenance' })
  const watch = new Ctl(t, ['status', '--watch'], { ...service, ...onTerminal })
  await watch.says(/maintenance since/)
  service.child.kill('SIGKILL')
  await watch.says(/the service is away, waiting\r?\n(\x1b\[\S*)?maintenance since/) // eslint-disable-line no-control-regex
  watch.child.stdin?.write(CTRL_C)
  t.equal((await watch.ended).code, 0)
})

t.test('Ctrl-C stops the waiting, never the maintenance, and says so', needsPython, async t => {
  const service = await startService(t, { env: { APP: fixture('application.ts'), GATE: new Gate(t).path } })
  service.get('/hold').catch(() => {})
  await service.line('app-holding')
  const waiting = new Ctl(t, ['on', '--wait'], { ...service, ...onTerminal })
  await waiting.says(/1 of 1 left/)
  waiting.child.stdin?.write(CTRL_C)
  const { code, out } = await waiting.ended
  t.equal(code, 130)
  t.match(plain(out), /^(\^C)?myserverctl on: stopped waiting\. Maintenance stays on; to leave it: myserverctl off$/m)
  t.match(await statusOf(t, service), { mode: 'maintenance', inFlight: 1 })
})

t.test('the cursor is shown again after Ctrl-C', needsPython, async t => {
  const service = await startService(t, { env: { APP: fixture('application.ts'), GATE: new Gate(t).path } })
  const watch = new Ctl(t, ['status', '--watch'], { ...service, ...onTerminal })
  await watch.says(/live since/)
  watch.child.stdin?.write(CTRL_C)
  const { code, out } = await watch.ended
  t.equal(code, 0)
  t.ok(out.lastIndexOf('\x1b[?25h') > out.lastIndexOf('\x1b[?25l'), 'shown after it was hidden')
})

t.test('status --watch on a terminal is drawn anew when something happens', needsPython, async t => {
  const service = await startService(t)
  const watch = new Ctl(t, ['status', '--watch'], { ...service, ...onTerminal })
  await watch.says(/live since/)
  await ctl(t, service, 'on')
  await watch.says(/maintenance since .*, drained/)
  await ctl(t, service, 'off')
  await watch.says(/drained[^]*live since/)
  watch.child.stdin?.write(CTRL_C)
  t.equal((await watch.ended).code, 0)
})

for (const [command, args, said] of [
  ['on', ['--wait'], /^myserverctl on: stopped waiting\. Maintenance stays on; to leave it: myserverctl off\n$/],
  ['wait', ['--drained'], /^myserverctl wait: stopped waiting\. Maintenance stays on; to leave it: myserverctl off\n$/]
] as const) {
  t.test(`SIGINT while ${command} waits in a pipe does the same`, async t => {
    const service = await startService(t, { env: { APP: fixture('application.ts'), GATE: new Gate(t).path } })
    service.get('/hold').catch(() => {})
    await service.line('app-holding')
    service.send('SIGUSR1')
    await service.line('maintenance-entered')
    const waiting = new Ctl(t, [command, ...args], service)
    await waiting.says(/^1 in flight\n/m)
    waiting.child.kill('SIGINT')
    t.match(await waiting.ended, { code: 130, err: said })
    t.match(await statusOf(t, service), { mode: 'maintenance', inFlight: 1 })
  })
}

t.test('wait --live, interrupted, says that maintenance stays on', async t => {
  const service = await startService(t, { record: 'maintenance' })
  const waiting = new Ctl(t, ['wait', '--live'], { ...service, env: { NODE_DEBUG: 'http' } })
  // It says nothing by itself while it waits; what comes with the head of the answer is heard with it.
  await waiting.says(/AGENT incoming response/)
  waiting.child.kill('SIGINT')
  t.match(await waiting.ended, { code: 130, err: /^myserverctl wait: stopped waiting\. Maintenance stays on; to leave it: myserverctl off$/m })
})
