import t from 'tap'
import { announce, isOverdue, moveDurations, type End, type Holder } from '../../src/control/holders.ts'

const now = new Date('2026-01-01T12:00:00Z')

function at (minutes: number): Date {
  return new Date(now.getTime() + minutes * 60_000)
}

function holder (name: string, minutes?: number, more: Partial<Holder> & Partial<Pick<End, 'countsBy'>> = {}): Holder {
  const { countsBy = 'clock', ...rest } = more
  return { name, by: 'test', since: now, ...minutes !== undefined && { end: { at: at(minutes), then: 'stay', countsBy } }, ...rest }
}

t.test('nobody announces nothing', async t => {
  t.same(announce([], now), {})
})

t.test('the newest message is announced', async t => {
  t.same(announce([holder('a', undefined, { message: 'first' }), holder('b', undefined, { message: 'second' }), holder('c')], now),
    { message: 'second' })
})

t.test('the latest end is announced', async t => {
  t.same(announce([holder('a', 20), holder('b', 30), holder('c', 10)], now), { endsAt: at(30) })
})

t.test('no end is announced while one holder has none', async t => {
  t.same(announce([holder('a', 20), holder('b')], now), {})
})

t.test('an end that has passed is not announced', async t => {
  t.same(announce([holder('a', -1)], now), {})
  t.same(announce([holder('a', 0)], now), {})
  t.same(announce([holder('a', -1), holder('b', 5)], now), { endsAt: at(5) })
})

t.test('a holder is overdue from its end on', async t => {
  t.equal(isOverdue(holder('a', 1), now), false)
  t.equal(isOverdue(holder('a', 0), now), true)
  t.equal(isOverdue(holder('a', -1), now), true)
  t.equal(isOverdue(holder('a'), now), false)
})

t.test('durations move along with the clock, and nothing else does', async t => {
  const holders = [holder('clock', 10), holder('duration', 10, { countsBy: 'duration' }), holder('none')]
  t.equal(moveDurations(holders, -5 * 60_000), true)
  t.same(holders.map(({ end }) => end?.at), [at(10), at(5), undefined])
  t.equal(moveDurations([holder('clock', 10), holder('none')], 1), false)
})
