import t from 'tap'
import { renderInFlight, renderStatus, viewProgress } from '../../src/cli/render.ts'
import { MOST_STRAGGLERS, type Status } from '../../src/control/protocol.ts'

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

t.test('which day is today is told by the time that is given', async t => {
  const since = '2026-01-01T12:00:00Z'
  const [line, holder] = renderStatus({ ...status, since, holders: [{ name: 'a', by: 'b', since, overdue: false }] }, new Date(since)).split('\n')
  t.match(line, /^maintenance since \d\d:\d\d:\d\d /)
  t.match(holder, /^ {2}a: by b since \d\d:\d\d:\d\d$/)
})

t.test('progress is a bar from what there was to what is left', async t => {
  const bar = (inFlight: number, atFirst: number): string | undefined =>
    viewProgress({ ...status, inFlight, drained: inFlight === 0 }, atFirst).head[0]
  t.equal(bar(12, 12), `[${'-'.repeat(30)}] 12 of 12 left`)
  t.equal(bar(3, 12), `[${'#'.repeat(23)}${'-'.repeat(7)}] 3 of 12 left`)
  t.equal(bar(0, 12), `[${'#'.repeat(30)}] 0 of 12 left`)
  t.equal(bar(0, 0), `[${'#'.repeat(30)}] 0 of 1 left`)
  t.equal(bar(5, 2), `[${'-'.repeat(30)}] 5 of 5 left`, 'more than there was at first')
})

t.test('where nothing is in flight and it is not drained, the application keeps it waiting', async t => {
  const hooks: Status = { ...status, inFlight: 0, stragglers: [], workers: [] }
  const why = ', the application is still putting away what it holds'
  t.match(renderStatus(hooks, now), `, 0 in flight${why}, 12 requests refused`)
  t.equal(renderInFlight(hooks), `0 in flight${why}`)
  t.equal(viewProgress(hooks, 2).head[0], `[${'#'.repeat(30)}] 0 of 2 left${why}`)
  for (const other of [{ drained: true }, { mode: 'live' }] as const) t.notMatch(renderStatus({ ...hooks, ...other }, now), why)
})

t.test('a worker that did not answer is named once, with how many it has, though it has not been silent for long', async t => {
  const worker = { worker: 1, inFlight: 4, silentMs: 700 }
  const hung: Status = {
    ...status,
    inFlight: 5,
    workers: [{ ...worker, role: 'application', state: 'serving' }],
    stragglers: [worker, { worker: 0, what: 'GET /', ageMs: 100, clientGone: false }]
  }
  t.equal(renderInFlight(hung), '5 in flight\n  worker 1 has not answered for 0.7 s (4 in flight)\n  GET /, 0.1 s (worker 0)')
  const stuck = { ...hung, workers: hung.workers.map(worker => ({ ...worker, silentMs: 5_000 })) }
  t.equal(renderInFlight(stuck), renderInFlight(hung))
})

t.test('what is not named is counted', async t => {
  const stragglers = Array.from({ length: MOST_STRAGGLERS }, () => ({ worker: 0, what: 'GET /', ageMs: 100, clientGone: false }))
  const last = (status: Status): string | undefined => renderInFlight(status).split('\n').at(-1)
  const many: Status = { ...status, inFlight: 25, workers: [], stragglers }
  t.equal(last(many), '  and 5 more')
  t.equal(last({ ...many, stragglers: [{ worker: 1, inFlight: 4, silentMs: 700 }, ...stragglers] }), '  and 1 more')
  t.match(last({ ...many, inFlight: MOST_STRAGGLERS }), 'GET /')
  t.match(last({ ...many, inFlight: 8, stragglers: stragglers.slice(0, 7) }), 'GET /', 'one that ended meanwhile is none that was left out')
})
