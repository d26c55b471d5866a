import t from 'tap'
import { EndWatch } from '../../src/control/end-watch.ts'
import type { End, Holder } from '../../src/control/holders.ts'
import { FakeClock } from './fake-clock.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE

class Watched {
  readonly clock = new FakeClock()
  readonly holders: Holder[] = []
  readonly due: string[] = []
  readonly clockSet: Array<[movedMs: number, endsMoved: boolean]> = []
  readonly watch: EndWatch

  constructor () {
    const { clock } = this
    this.watch = new EndWatch({
      holders: () => this.holders,
      due: ({ name }) => this.due.push(name),
      clockSet: (movedMs, endsMoved) => this.clockSet.push([movedMs, endsMoved]),
      clock,
      after: clock.after
    })
  }

  /** As the operator does it: the end is told first, then it is watched. */
  enter (name: string, inMs?: number, how: Partial<End> = {}): Holder {
    const holder: Holder = { name, by: 'test', since: this.clock.now() }
    if (inMs !== undefined) holder.end = { at: this.clock.in(inMs), then: 'open', countsBy: 'duration', ...how }
    this.holders.push(holder)
    this.watch.forget(name)
    this.watch.look()
    return holder
  }
}

t.test('an end is due when it has come, and not before', async t => {
  const it = new Watched()
  it.enter('a', 30 * MINUTE)
  it.clock.pass(30 * MINUTE - 1)
  t.same(it.due, [])
  it.clock.pass(1_000)
  t.same(it.due, ['a'])
})

t.test('an end that is past when it is first looked at, as after a reboot, is due at once', async t => {
  const it = new Watched()
  it.enter('a', -MINUTE)
  t.same(it.due, ['a'])
})

t.test('where nobody has named an end nothing is watched', async t => {
  const it = new Watched()
  it.enter('a')
  t.equal(it.clock.timers, 0)
  it.enter('b', HOUR)
  t.equal(it.clock.timers, 1)
  it.holders.pop()
  it.clock.pass(1_000)
  t.equal(it.clock.timers, 0)
})

t.test('stop leaves no timer behind', async t => {
  const it = new Watched()
  it.enter('a', HOUR)
  it.watch.stop()
  t.equal(it.clock.timers, 0)
})

t.test('an end with stay is complained about every five minutes', async t => {
  const it = new Watched()
  it.enter('a', MINUTE, { then: 'stay' })
  it.clock.pass(MINUTE)
  t.equal(it.due.length, 1)
  it.clock.pass(5 * MINUTE - 1_000)
  t.equal(it.due.length, 1)
  it.clock.pass(1_000)
  t.equal(it.due.length, 2)
  it.clock.pass(HOUR)
  t.equal(it.due.length, 14)
})

for (const then of ['open', 'check'] as const) {
  t.test(`an end with ${then} that could not be acted on is due again every half minute`, async t => {
    const it = new Watched()
    it.enter('a', MINUTE, { then })
    it.clock.pass(MINUTE + 29_000)
    t.equal(it.due.length, 1)
    it.clock.pass(1_000)
    t.equal(it.due.length, 2)
  })
}

t.test('a new end is due in its own time, whatever was complained about before', async t => {
  const it = new Watched()
  const holder = it.enter('a', MINUTE, { then: 'stay' })
  it.clock.pass(MINUTE)
  holder.end = { at: it.clock.in(2_000), then: 'open', countsBy: 'duration' }
  it.watch.forget('a')
  it.watch.look()
  t.equal(it.due.length, 1)
  it.clock.pass(2_000)
  t.equal(it.due.length, 2)
})

t.test('every holder has an end of its own', async t => {
  const it = new Watched()
  it.enter('late', 2 * MINUTE)
  it.enter('never')
  it.enter('early', MINUTE)
  it.clock.pass(MINUTE)
  t.same(it.due, ['early'])
  it.holders.pop()
  it.clock.pass(MINUTE)
  t.same(it.due, ['early', 'late'])
})

for (const [how, byMs] of [['forward', 5 * HOUR], ['back', -5 * HOUR]] as const) {
  t.test(`when the clock is set ${how}, a duration stays as long as it was`, async t => {
    const it = new Watched()
    it.enter('a', 30 * MINUTE)
    it.clock.pass(10 * MINUTE)
    it.clock.set(byMs)
    it.clock.pass(1_000)
    t.same(it.clockSet, [[byMs, true]])
    it.clock.pass(20 * MINUTE - 2_000)
    t.same(it.due, [])
    it.clock.pass(1_000)
    t.same(it.due, ['a'])
  })

  t.test(`when the clock is set ${how}, an end on the clock stays where it is`, async t => {
    const it = new Watched()
    const { end } = it.enter('a', 30 * MINUTE, { countsBy: 'clock' })
    const before = end?.at.getTime()
    it.clock.set(byMs)
    it.clock.pass(1_000)
    t.equal(end?.at.getTime(), before)
    t.same(it.clockSet, [[byMs, false]])
    t.same(it.due, byMs > 0 ? ['a'] : [])
  })
}

t.test('two ends of both kinds go their own ways', async t => {
  const it = new Watched()
  it.enter('clock', 30 * MINUTE, { countsBy: 'clock' })
  it.enter('duration', 30 * MINUTE)
  it.clock.set(HOUR)
  it.clock.pass(1_000)
  t.same(it.due, ['clock'])
})

for (const byMs of [HOUR, -HOUR]) {
  t.test(`a duration that begins just after the clock was set by ${byMs} ms, and before that was seen, does not move`, async t => {
    const it = new Watched()
    it.enter('before', 30 * MINUTE)
    it.clock.pass(500)
    it.clock.set(byMs)
    it.enter('after', 20 * MINUTE)
    t.same(it.due, [])
    it.clock.pass(20 * MINUTE)
    t.same(it.due, ['after'])
    it.holders.pop()
    it.clock.pass(10 * MINUTE)
    t.same(it.due, ['after', 'before'])
  })
}

t.test('what happens to the clock while nobody has named an end moves none', async t => {
  const it = new Watched()
  it.enter('a')
  it.clock.set(HOUR)
  it.enter('b', 30 * MINUTE)
  t.same(it.clockSet, [])
  it.clock.pass(30 * MINUTE)
  t.same(it.due, ['b'])
})

t.test('a clock that is slewed is followed, and nothing is said about it', async t => {
  const it = new Watched()
  it.enter('a', MINUTE)
  for (let second = 0; second < 30; second++) {
    it.clock.set(0.5)
    it.clock.pass(1_000)
  }
  t.same(it.clockSet, [])
})
