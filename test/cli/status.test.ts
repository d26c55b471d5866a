import { join } from 'node:path'
import t from 'tap'
import { version } from '../../src/config.ts'
import type { Status } from '../../src/control/protocol.ts'
import { call } from '../helpers/call.ts'
import { newFolder } from '../helpers/places.ts'
import { startService, type ServiceProcess } from '../helpers/service.ts'
import { ctl, Ctl } from './ctl.ts'

t.setTimeout(120_000)

async function write (service: ServiceProcess, method: 'PUT' | 'DELETE', body?: object): Promise<void> {
  await call(join(service.folder, 'run/control.sock'), method, '/v1/maintenance', body)
}

t.test('status says how things stand, in words and as JSON', async t => {
  const service = await startService(t)
  t.match(await ctl(t, service, 'status'), {
    code: 0, out: new RegExp(`^live since \\S+ \\(\\S+\\), 0 in flight\nworker 0 serving; version ${version()}\n$`), err: ''
  })
  await write(service, 'PUT', { reason: 'why' })
  const { code, out } = await ctl(t, service, 'status', '--json')
  t.equal(code, 0)
  t.match(JSON.parse(out), {
    version: version(), mode: 'maintenance', holders: [{ name: 'operator', reason: 'why' }], workers: [{ worker: 0, state: 'serving' }], stragglers: []
  })
})

t.test('--watch --json is a line for each change, until Ctrl-C', async t => {
  const service = await startService(t)
  const watch = new Ctl(t, ['status', '--watch', '--json'], service)
  await watch.says(/\n/)
  await write(service, 'PUT', {})
  await watch.says(/"drained":true/)
  await write(service, 'DELETE')
  await watch.says(/"mode":"live".*\n[^]*"mode":"live"/)
  watch.child.kill('SIGINT')
  const { code, out, err } = await watch.ended
  t.equal(code, 0)
  t.equal(err, '')
  const lines: Status[] = out.trimEnd().split('\n').map(line => JSON.parse(line))
  const known = lines.map(({ workers, ...status }) => JSON.stringify([status, workers.map(({ silentMs, ...worker }) => worker)]))
  t.same(known.filter((line, i) => line === known[i - 1]), [], 'no line is like the one before')
  t.equal(lines[0]?.mode, 'live')
})

t.test('--watch to a pipe shows the whole status at each change', async t => {
  const service = await startService(t)
  const watch = new Ctl(t, ['status', '--watch'], service)
  await watch.says(/^live since/)
  await write(service, 'PUT', {})
  await watch.says(/^maintenance since .*, drained/m)
  // eslint-disable-next-line no-control-regex
  t.notMatch(watch.out, /\x1b/)
})

for (const [what, args, where] of [['in its lines', [], 'out'], ['beside its JSON', ['--json'], 'err']] as const) {
  t.test(`--watch says ${what} that the service is away, and how things stand when it is back`, async t => {
    const service = await startService(t, { record: 'maintenance' })
    const watch = new Ctl(t, ['status', '--watch', ...args], service)
    await watch.says(/maintenance/)
    service.child.kill('SIGKILL')
    await service.ended
    await watch.says(/^the service is away, waiting$/m)
    t.match(watch[where], /^the service is away, waiting$/m)
    await startService(t, { folder: service.folder })
    await watch.says(args.length === 0 ? /away, waiting\nmaintenance since/ : /("mode":"maintenance"[^]*){2}/)
  })
}

t.test('--watch ends quietly when nobody reads any more', async t => {
  const service = await startService(t)
  const watch = new Ctl(t, ['status', '--watch'], { ...service, through: ['sh', '-c', '"$0" "$@" | head -n 1'] })
  await watch.says(/^live since .*\n/)
  // What it has to say next, it says to nobody.
  await write(service, 'PUT', {})
  t.match(await watch.ended, { code: 0, err: '' })
})

for (const args of [['--wach'], ['--watch=1'], ['live']]) {
  t.test(`status ${args.join(' ')} is wrong usage`, async t => {
    t.match(await ctl(t, { folder: newFolder(t) }, 'status', ...args), { code: 2, out: '', err: /\nTry: myserverctl status --help\n$/ })
  })
}
