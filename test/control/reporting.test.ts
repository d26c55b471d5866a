import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import pino from 'pino'
import t from 'tap'
import type { OperatorStatus } from '../../src/control/operator.ts'
import { logEvent, statusText, wordings, type ServiceEvent } from '../../src/control/reporting.ts'
import { root } from '../helpers/places.ts'

const NOW = new Date(2026, 0, 1, 15, 0, 0)
const since = new Date(2026, 0, 1, 14, 2, 11)
const status: OperatorStatus = {
  mode: 'maintenance',
  since,
  by: 'SIGUSR1',
  holders: [{ name: 'operator', by: 'SIGUSR1', since }],
  drained: true,
  inFlight: 0,
  durable: true,
  recorded: true,
  leaving: false
}

function collect (level = 'info'): { logger: pino.Logger, lines: Array<Record<string, unknown>> } {
  const lines: Array<Record<string, unknown>> = []
  const logger = pino({ level, base: null, timestamp: false }, { write: (line: string) => { lines.push(JSON.parse(line)) } })
  return { logger, lines }
}

// That every event has a wording is what the compiler sees to.
t.test('every event that has a wording is reported somewhere', async t => {
  const folder = join(root, 'src/control')
  const source = readdirSync(folder).filter(file => file !== 'reporting.ts')
    .map(file => readFileSync(join(folder, file), 'utf8')).join('\n')
  // Its declaration is not yet a report.
  const reports = source.replaceAll(/^ {2}\| \{ event: .*$/gm, '')
  for (const event of Object.keys(wordings)) t.match(reports, new RegExp(`event: [^,}]*'${event}'`), event)
})

t.test('a transition has a MESSAGE_ID of its own', async t => {
  const ids = Object.values(wordings).flatMap(({ id }) => id === undefined ? [] : [id])
  t.equal(new Set(ids).size, ids.length)
  for (const id of ids) t.match(id, /^[0-9a-f]{32}$/)
  for (const event of ['maintenance-entered', 'maintenance-drained', 'maintenance-left'] as const) t.type(wordings[event].id, 'string')
})

t.test('entering is a warning, drained and left are information, what went wrong is an error', async t => {
  t.match(wordings, {
    'maintenance-entered': { level: 'warn' },
    'maintenance-drained': { level: 'info' },
    'maintenance-left': { level: 'info' },
    'leave-refused': { level: 'error' },
    'record-unwritable': { level: 'error' },
    'worker-died': { level: 'error' }
  })
})

t.test('an event is one line with its fields and what is added to it', async t => {
  const { logger, lines } = collect()
  const event: ServiceEvent = { event: 'maintenance-left', by: 'SIGUSR2', lastedMs: 1234, forced: false }
  logEvent(logger, event, { refused: 7 })
  t.match(lines, [{ level: 30, ...event, refused: 7, msg: 'maintenance left' }])
})

t.test("the journal's fields are not in the line", async t => {
  const { logger, lines } = collect()
  logEvent(logger, { event: 'maintenance-drained', tookMs: 5 })
  t.notOk('journal' in (lines[0] ?? {}))
  t.notMatch(JSON.stringify(lines), /MESSAGE_ID/)
})

for (const level of ['warn', 'error', 'fatal', 'silent']) {
  t.test(`with LOG_LEVEL=${level} ${level === 'silent' ? 'nothing' : 'every transition'} is told`, async t => {
    const { logger, lines } = collect(level)
    logEvent(logger, { event: 'maintenance-entered', holder: 'operator', by: 'SIGUSR1', inFlight: 0, durable: true })
    logEvent(logger, { event: 'maintenance-drained', tookMs: 5 })
    logEvent(logger, { event: 'maintenance-left', by: 'SIGUSR2', lastedMs: 1234, forced: false })
    logEvent(logger, { event: 'leave-joined', by: 'SIGUSR2' })
    const levels = level === 'silent' ? [] : [['maintenance-entered', 40], ['maintenance-drained', 30], ['maintenance-left', 30]]
    t.same(lines.map(({ event, level }) => [event, level]), levels)
  })
}

t.test('the status is live, or since when, whether drained and how much was refused', async t => {
  t.equal(statusText({ ...status, mode: 'live', holders: [] }, 0, NOW), 'live')
  t.equal(statusText(status, 1234, NOW), 'maintenance since 14:02:11, drained, 1234 requests refused')
  t.equal(statusText({ ...status, drained: false, inFlight: 3 }, 0, NOW), 'maintenance since 14:02:11, 3 in flight, 0 requests refused')
})

t.test('the status says what is unusual', async t => {
  t.match(statusText({ ...status, durable: false, recorded: false }, 0, NOW), /NOT on disk: would not survive/)
  t.match(statusText({ ...status, recorded: false }, 0, NOW), /NOT on disk: a reboot would stay in maintenance/)
  t.match(statusText({ ...status, leaving: true }, 0, NOW), /leaving as soon as/)
  const end = { at: new Date(NOW.getTime() - 1), then: 'stay' as const, countsBy: 'clock' as const }
  t.match(statusText({ ...status, holders: [{ name: 'migration', by: 'root', since, end }] }, 0, NOW), /OVERDUE: migration/)
})
