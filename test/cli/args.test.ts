import fc from 'fast-check'
import t from 'tap'
import { checkFields, HelpWanted, parse, parseDuration, parseTime } from '../../src/cli/args.ts'
import { FieldError } from '../../src/control/protocol.ts'

t.teardown(() => { delete process.env.TZ })

/** On a machine whose clock shows that zone. */
function inZone (zone: string): void {
  process.env.TZ = zone
}

for (const [value, expected] of [
  ['90', 90_000], ['90s', 90_000], ['30m', 1_800_000], ['2h', 7_200_000], ['1.5h', 5_400_000], ['1.5', 1_500], ['1d', 86_400_000], ['500ms', 500], ['2 hours', 7_200_000]
] as const) {
  t.test(`${value} is a duration`, async t => {
    t.equal(parseDuration('--for', value), expected)
  })
}

for (const value of ['', '0', '0s', '90 ', '-5m', 'm', '5 parsecs', '1h30m', 'Infinity', 'NaN', '0x10', '9'.repeat(120)]) {
  t.test(`"${value.slice(0, 20)}" is no duration, and what would be is told`, async t => {
    t.throws(() => parseDuration('--for', value), { code: 2, message: `--for=${value}: expected a duration such as 90 (seconds), 90s, 30m or 2h` })
  })
}

for (const [zone, now, value, expected] of [
  ['UTC', '2026-06-01T14:00:00Z', '15:00', '2026-06-01T15:00:00Z'],
  ['UTC', '2026-06-01T15:00:00Z', '15:00', '2026-06-02T15:00:00Z'],
  ['UTC', '2026-06-01T15:00:01Z', '15:00', '2026-06-02T15:00:00Z'],
  ['UTC', '2026-12-31T23:59:59Z', '0:00', '2027-01-01T00:00:00Z'],
  ['UTC', '2026-06-01T12:00:00Z', '7:05', '2026-06-02T07:05:00Z'],
  ['Europe/Berlin', '2026-06-01T12:00:00Z', '15:00', '2026-06-01T13:00:00Z'],
  ['Europe/Berlin', '2026-06-01T13:30:00Z', '15:00', '2026-06-02T13:00:00Z'],
  ['America/New_York', '2026-06-01T01:00:00Z', '22:30', '2026-06-01T02:30:00Z'],
  ['Asia/Kolkata', '2026-06-01T20:00:00Z', '3:00', '2026-06-01T21:30:00Z'],
  ['Pacific/Auckland', '2026-06-01T11:00:00Z', '22:59', '2026-06-02T10:59:00Z'],
  // The night in which the clock goes on, and the one in which it goes back: a day of 23 hours, and of 25.
  ['Europe/Berlin', '2026-03-28T22:00:00Z', '22:00', '2026-03-29T20:00:00Z'],
  ['Europe/Berlin', '2026-10-24T21:00:00Z', '22:00', '2026-10-25T21:00:00Z']
] as const) {
  t.test(`at ${now} in ${zone}, ${value} is ${expected}`, async t => {
    inZone(zone)
    t.equal(parseTime('--until', value, new Date(now)).toISOString(), new Date(expected).toISOString())
  })
}

t.test('a time on the clock is always within a day and a bit, shows that time, and is never over', async t => {
  const zone = fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata', 'Australia/Lord_Howe')
  const year = { min: new Date('2026-01-01T00:00:00Z'), max: new Date('2027-01-01T00:00:00Z'), noInvalidDate: true }
  fc.assert(fc.property(zone, fc.date(year), fc.nat(23), fc.nat(59), (zone, now, hour, minute) => {
    inZone(zone)
    const time = parseTime('--until', `${hour}:${String(minute).padStart(2, '0')}`, now)
    // A time that the clock leaves out when it goes on is moved by what it leaves out.
    const shows = time.getMinutes() % 30 === minute % 30 && Math.abs(time.getHours() - hour) <= 1
    return time > now && time.getTime() - now.getTime() <= 25 * 3_600_000 && shows
  }), { numRuns: 500 })
  t.pass('it holds')
})

t.test('a date and time is taken with its zone, and as local time where it has none', async t => {
  inZone('Asia/Kolkata')
  const now = new Date('2026-11-01T00:00:00Z')
  for (const [value, expected] of [
    ['2026-12-01T03:30Z', '2026-12-01T03:30:00.000Z'],
    ['2026-12-01T03:30:15+02:00', '2026-12-01T01:30:15.000Z'],
    ['2028-02-29T03:30Z', '2028-02-29T03:30:00.000Z'],
    ['2026-12-01T03:30', '2026-11-30T22:00:00.000Z']
  ] as const) t.equal(parseTime('--until', value, now).toISOString(), expected)
})

t.test('a date that has passed is refused, with what time it is', async t => {
  const now = new Date('2026-11-01T00:00:00Z')
  t.throws(() => parseTime('--until', '2026-10-01T00:00Z', now), { code: 2, message: '--until=2026-10-01T00:00Z: that is over; it is 2026-11-01T00:00:00.000Z' })
})

for (const value of ['', 'tomorrow', '24:00', '15', '15:60', '3pm', '2026-12-01', '2026-13-01T00:00', '2027-02-30T10:00', '2027-02-29T10:00Z', '2026-00-10T10:00', '2026-12-01T24:00',
  '2026-12-01T03:30 PM', '2026-12-01T03:30Zfoo', '2026-12-01T03:30 (x)', '12/01/2026 03:30', ' 15:00']) {
  t.test(`"${value}" is no time, and what would be is told`, async t => {
    t.throws(() => parseTime('--until', value, new Date()), {
      code: 2, message: `--until=${value}: expected a time such as 15:00, 2026-12-01T03:30 or 2026-12-01T03:30Z`
    })
  })
}

t.test('an option whose value may be left out', async t => {
  const options = { wait: { type: 'string' } } as const
  t.equal(parse(['--wait'], options, ['--wait']).wait, '')
  t.equal(parse(['--wait=10m'], options, ['--wait']).wait, '10m')
  t.equal(parse([], options, ['--wait']).wait, undefined)
  t.throws(() => parse(['--wait', '10m'], options, ['--wait']), { code: 2, message: '--wait 10m: expected --wait=10m' })
  t.equal(parse(['--wait', '--json'], options, ['--wait']).wait, '')
})

t.test('help is wanted where it is an option, and not where it is a value', async t => {
  const options = { reason: { type: 'string' } } as const
  for (const args of [['--help'], ['-h'], ['--reason', 'why', '--help']]) t.throws(() => parse(args, options), new HelpWanted(), args.join(' '))
  t.equal(parse(['--reason=--help'], options).reason, '--help')
  t.throws(() => parse(['--reason', '--help'], options), { code: 2, message: /'--reason' argument is ambiguous/ })
  t.throws(() => parse(['--bogus', '--help'], options), { code: 2, message: /'--bogus'/ })
})

t.test('what is wrong with a field is told of its option', async t => {
  const check = (field: string) => () => checkFields(() => { throw new FieldError(field, 'expected more') })
  t.throws(check('forMs'), { code: 2, message: '--for: expected more' })
  t.throws(check('reason'), { code: 2, message: '--reason: expected more' })
  t.throws(() => checkFields(() => { throw new Error('something else') }), { message: 'something else' })
  t.equal(checkFields(() => 7), 7)
})
