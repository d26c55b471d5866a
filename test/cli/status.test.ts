import { join } from 'node:path'
import t from 'tap'
import { version } from '../../src/config.ts'
import { renderProgress, renderStatus } from '../../src/cli/render.ts'
import type { Status } from '../../src/control/protocol.ts'
import { call } from '../helpers/call.ts'
import { newFolder } from '../helpers/places.ts'
import { startService, type ServiceProcess } from '../helpers/service.ts'
import { ctl, Ctl } from './ctl.ts'

t.setTimeout(120_000)

const now = new Date()
const ago = (ms: number): string => new Date(now.getTime() - ms).toISOString()

/** Everything at once. */
const status: Status = {
  version: '1.2.3',
  mode: 'maintenance',
  since: ago(90_000),
  by: 'alice, pid 7',
  drained: false,
  inFlight: 3,
  refused: 12,
  durable: false,
  recorded: false,
  leaving: true,
  holders: [
    { name: 'operator', by: 'alice, pid 7', since: ago(90_000), reason: 'postgres', message: 'Back soon', until: ago(1_000), then: 'stay', overdue: true },
    { name: 'migration', by: 'root, pid 8', since: ago(60_000), overdue: false }
  ],
  workers: [
    { worker: 0, role: 'application', state: 'serving', inFlight: 2, silentMs: 400 },
    { worker: 1, role: 'application', state: 'stuck', inFlight: 1, silentMs: 3_210 },
    { worker: 2, role: 'stand-in', state: 'loading', inFlight: 0, silentMs: 0 }
  ],
  stragglers: [
    { worker: 0, what: 'GET /orders/:id', ageMs: 12_340, clientGone: true },
    { worker: 0, what: 'UPGRADE /chat\u009b31m', ageMs: 900, clientGone: false }
  ]
}

async function write (service: ServiceProcess, method: 'PUT' | 'DELETE', body?: object): Promise<void> {
  await call(join(service.folder, 'run/control.sock'), method, '/v1/maintenance', body)
}

t.test('everything that a status holds is put into words', async t => {
  const lines = renderStatus(status, now).split('\n')
  t.match(lines[0], /^maintenance since (\S+ )?\d\d:\d\d:\d\d \(2m\), 3 in flight, 12 requests refused, leaving as soon as .*, NOT on disk: would not survive a reboot$/)
  t.match(lines[1], /^ {2}operator: by alice, pid 7 since .*; until .*, then stay \(OVERDUE\); reason: postgres; message: Back soon$/)
  t.match(lines[2], /^ {2}migration: by root, pid 8 since (\S+ )?\d\d:\d\d:\d\d$/)
  t.same(lines.slice(3), [
    '  worker 1 has not answered for 3.2 s (1 in flight)',
    '  GET /orders/:id, 12.3 s (worker 0, its client has gone)',
    '  UPGRADE /chat?31m, 0.9 s (worker 0)',
    'worker 0 serving, worker 1 stuck, stand-in loading; version 1.2.3'
  ])
})

t.test('a day other than today is told', async t => {
  const [line] = renderStatus({ ...status, since: '2026-01-01T12:00:00Z' }, now).split('\n')
  t.match(line, /since 2026-01-01 \d\d:\d\d:\d\d/)
})

t.test('progress is a bar from what there was to what is left', async t => {
  const bar = (inFlight: number, atFirst: number): string | undefined =>
    renderProgress({ ...status, inFlight, workers: [], stragglers: [] }, atFirst).split('\n')[0]
  t.equal(bar(12, 12), `[${'-'.repeat(30)}] 12 of 12 left`)
  t.equal(bar(3, 12), `[${'#'.repeat(23)}${'-'.repeat(7)}] 3 of 12 left`)
  t.equal(bar(0, 12), `[${'#'.repeat(30)}] 0 of 12 left`)
  t.equal(bar(0, 0), `[${'#'.repeat(30)}] 0 of 1 left`)
  t.equal(bar(5, 2), `[${'-'.repeat(30)}] 5 of 5 left`, 'more than there was at first')
})

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

t.test('--watch ends quietly when nobody reads any more', async t => {
  const service = await startService(t)
  const watch = new Ctl(t, [], { ...service, through: ['sh', '-c', '"$0" "$@" status --watch | head -n 1'] })
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
