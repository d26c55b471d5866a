import fc from 'fast-check'
import t from 'tap'
import { endings, FieldError, parseEnter, parseHolder, parseIsoTime, parseLeave } from '../../src/control/protocol.ts'

const now = new Date('2026-01-01T12:00:00Z')
const until = '2026-01-01T13:00:00.000Z'
const YEAR = 366 * 24 * 3600 * 1000

t.test('entering without a word is in the name of the operator', async t => {
  t.same(parseEnter({}, now), { holder: 'operator' })
})

t.test('everything that can be said is taken', async t => {
  const said = { holder: 'migration', reason: 'postgres 15 → 17', message: 'Zurück um <drei> & "vier"', until, then: 'check' }
  t.same(parseEnter(said, now), said)
  t.same(parseEnter({ forMs: 1500.5, then: 'open' }, now), { holder: 'operator', forMs: 1500.5, then: 'open' })
  t.same(parseEnter({ forMs: YEAR }, now), { holder: 'operator', forMs: YEAR })
})

t.test('a time with a zone is understood, and told in UTC', async t => {
  t.equal(parseEnter({ until: '2026-01-01T14:30:00+02:00' }, now).until, '2026-01-01T12:30:00.000Z')
})

for (const [what, body, problem] of [
  ['nothing', undefined, 'expected a JSON object'],
  ['null', null, 'expected a JSON object'],
  ['an array', [], 'expected a JSON object'],
  ['a text', 'on', 'expected a JSON object'],
  ['an unknown field', { reson: 'typo' }, 'reson: unknown; expected holder, reason, message, until, forMs, then'],
  ['a field of Object.prototype', { toString: 1 }, 'toString: unknown'],
  ['an empty holder', { holder: '' }, 'holder: expected a name'],
  ['a holder with a space', { holder: 'a b' }, 'holder: expected a name'],
  ['a holder of two lines', { holder: 'a\n' }, 'holder: expected a name'],
  ['a long holder', { holder: 'a'.repeat(101) }, 'holder: expected a name'],
  ['a holder that is a number', { holder: 7 }, 'holder: expected a name'],
  ['an empty reason', { reason: '' }, 'reason: expected one line'],
  ['a reason of two lines', { reason: 'a\nb' }, 'reason: expected one line'],
  ['a reason with an escape sequence', { reason: '\x1b[31mred' }, 'reason: expected one line'],
  ['a message that is too long', { message: 'a'.repeat(501) }, 'message: expected one line of 1 to 500 characters'],
  ['a message that is null', { message: null }, 'message: expected one line'],
  ['two ends', { until, forMs: 1 }, 'until and forMs: expected one of them'],
  ['an end that is no time', { until: 'tomorrow' }, 'until: expected a time such as'],
  ['an end on a day that no month has', { until: '2026-02-30T10:00:00Z' }, 'until: expected a time such as'],
  ['an end in words', { until: 'March 3, 2026' }, 'until: expected a time such as'],
  ['an end that is a number', { until: 1 }, 'until: expected a time such as'],
  ['an end that has passed', { until: '2026-01-01T11:59:59Z' }, 'until: 2026-01-01T11:59:59.000Z is over; it is 2026-01-01T12:00:00.000Z'],
  ['an end that is now', { until: '2026-01-01T12:00:00Z' }, 'is over'],
  ['an end in two years', { until: '2028-01-01T12:00:00Z' }, 'until: expected a time within a year'],
  ['a duration of nothing', { forMs: 0 }, 'forMs: expected more than zero and at most a year'],
  ['a negative duration', { forMs: -1 }, 'forMs: expected more than zero and at most a year'],
  ['an endless duration', { forMs: Infinity }, 'forMs: expected milliseconds'],
  ['a duration of more than a year', { forMs: YEAR + 1 }, 'forMs: expected more than zero and at most a year'],
  ['a duration that is a text', { forMs: '30m' }, 'forMs: expected milliseconds, got "30m"'],
  ['an unknown ending', { forMs: 1, then: 'close' }, 'then: expected one of stay, open, check, got "close"'],
  ...endings.map(then => [`then ${then} without an end`, { then }, `then: ${then} needs an end time`] as const)
] as const) {
  t.test(`entering with ${what} is refused, and says why`, async t => {
    t.throws(() => parseEnter(body, now), { message: new RegExp(RegExp.escape(problem)) })
  })
}

t.test('what is wrong names its field, and shows no more of it than is needed', async t => {
  t.throws(() => parseEnter({ reason: '' }, now), new FieldError('reason', 'expected one line of 1 to 500 characters'))
  try {
    parseEnter({ holder: 'a'.repeat(20_000) }, now)
  } catch (error) {
    t.match(error, { field: 'holder' })
    t.ok((error as Error).message.length < 300)
  }
})

t.test('a day is one that its month has', async t => {
  for (const text of ['2028-02-29T10:00Z', '2026-12-31T23:59:59.999Z', '2026-06-01T10:00:00+05:30']) t.same(parseIsoTime(text), new Date(text))
  for (const text of ['2027-02-29T10:00Z', '2026-06-31T10:00', '2026-00-01T10:00', '2026-13-01T10:00', '2026-06-01T24:00', '2026-06-01', '']) {
    t.equal(parseIsoTime(text), undefined, text)
  }
})

t.test('whatever is sent, it is taken as it is or refused with a reason', async t => {
  const anything = fc.anything({ values: [fc.constantFrom('holder', 'operator', until, 'open'), fc.string(), fc.double(), fc.boolean()] })
  const body = fc.oneof(anything, fc.dictionary(fc.constantFrom('holder', 'reason', 'message', 'until', 'forMs', 'then'), anything))
  fc.assert(fc.property(body, body => {
    let request
    try {
      request = parseEnter(body, now)
    } catch (error) {
      return error instanceof Error && error.message.length > 10
    }
    return Object.entries(request).every(([name, value]) => name === 'until' || name === 'holder' ||
      value === (body as Record<string, unknown>)[name])
  }), { numRuns: 3000 })
  t.pass('it holds')
})

t.test('leaving says whose claim ends, and whether by force', async t => {
  t.same(parseLeave({}), { force: false })
  t.same(parseLeave({ holder: 'a', force: 'true' }), { force: true, holder: 'a' })
})

for (const [what, query, problem] of [
  ['an unknown parameter', { hodler: 'a' }, /^hodler: unknown; expected holder, force$/],
  ['a force that is not true', { force: 'yes' }, /^force: expected true, or nothing$/],
  ['a force that is empty', { force: '' }, /^force: expected true, or nothing$/],
  ['two holders', { holder: ['a', 'b'] }, /^holder: expected a name/],
  ['an empty holder', { holder: '' }, /^holder: expected a name/]
] as const) {
  t.test(`leaving with ${what} is refused, and says why`, async t => {
    t.throws(() => parseLeave(query), { message: problem })
  })
}

t.test('the names of units are names of holders', async t => {
  for (const name of ['myserver-maintenance@30m', 'weekly:backup', 'a.b_c', 'a'.repeat(100)]) t.equal(parseHolder(name), name)
})
